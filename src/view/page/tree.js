// The spans of one trace as a tree, and where each lies in time. All pure: no element is made here.

const MOST_PARTS = 100;
const CELLS = 1000;

/** The tree of the spans that the server gives, which are in the order of the waterfall. */
export function treeOf(trace) {
  const nodes = trace.spans.map((span, at) => ({
    span,
    at,
    parent: null,
    children: [],
    end: at + 1,
    errors: 0,
  }));
  const byId = new Map(nodes.map((node) => [node.span.id, node]));
  const open = [];
  for (const node of nodes) {
    while (open.length && open.at(-1).span.depth >= node.span.depth) open.pop().end = node.at;
    node.parent = open.at(-1) ?? null;
    node.parent?.children.push(node);
    open.push(node);
  }
  for (const node of open) node.end = nodes.length;
  // Children come after their parents, so one pass backwards sums up whole subtrees.
  for (const node of nodes.toReversed()) {
    node.errors += node.span.status === "error" ? 1 : 0;
    if (node.parent) node.parent.errors += node.errors;
  }
  return { nodes, byId };
}

/** The nodes that are seen while the subtrees of the spans in `closed` are not. */
export function seen(tree, closed) {
  const rows = [];
  for (let at = 0; at < tree.nodes.length;) {
    const node = tree.nodes[at];
    rows.push(node);
    at = node.children.length && closed.has(node.span.id) ? node.end : at + 1;
  }
  return rows;
}

/** Where a span begins, on the time line that is looked at. */
export function startOf(span, isAligned) {
  return isAligned ? span.aligned_us : span.start_us;
}

/** From the first start to the last end. */
export function extent(tree, isAligned) {
  let [from, to] = [Infinity, -Infinity];
  for (const { span } of tree.nodes) {
    const start = startOf(span, isAligned);
    from = Math.min(from, start);
    to = Math.max(to, start + span.duration_us);
  }
  return to > from ? { from, to } : { from: Math.min(from, 0), to: Math.max(to, 1) };
}

/** The parts of a span in which none of its children ran. */
export function selfParts(span, children, isAligned) {
  const start = startOf(span, isAligned);
  const end = start + span.duration_us;
  const covered = children.map((child) => {
    const from = startOf(child.span, isAligned);
    return [from, from + child.span.duration_us];
  });
  const parts = [];
  let at = start;
  for (const [from, to] of joined(covered)) {
    if (to <= start || from >= end) continue;
    if (from > at) parts.push([at, from]);
    at = Math.max(at, to);
  }
  if (at < end) parts.push([at, end]);
  return parts;
}

/** The parts of a span on the critical path. */
export function criticalParts(span, isAligned) {
  const shift = startOf(span, isAligned) - span.aligned_us;
  return joined(span.critical.map(([from, to]) => [from + shift, to + shift]));
}

/** Intervals in order, those joined that touch. */
function joined(intervals) {
  const result = [];
  for (const [from, to] of intervals.toSorted((a, b) => a[0] - b[0])) {
    const last = result.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else result.push([from, to]);
  }
  return result;
}

/**
 * Parts that do not overlap as they can be drawn in a window: themselves while they are few, else
 * the cells of a fine grid that they fill for the most part, so that a thousand slivers do not
 * look like one long bar.
 */
export function drawable(parts, { from, to }) {
  const inside = parts.filter(([start, end]) => end >= from && start <= to);
  if (inside.length <= MOST_PARTS) return inside;
  const cell = (to - from) / CELLS;
  const filled = new Float64Array(CELLS);
  for (const [start, end] of inside) {
    const last = Math.min(Math.floor((end - from) / cell), CELLS - 1);
    for (let at = Math.max(Math.floor((start - from) / cell), 0); at <= last; at += 1) {
      const edge = from + at * cell;
      filled[at] += Math.max(Math.min(end, edge + cell) - Math.max(start, edge), 0) / cell;
    }
  }
  const cells = [...filled].map((share, at) =>
    share > 0.5 ? [from + at * cell, from + (at + 1) * cell] : null,
  );
  return joined(cells.filter(Boolean));
}

/** Round times between two, about `wanted` of them. */
export function ticks(from, to, wanted) {
  const rough = (to - from) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to && found.length < 50; at += step) {
    found.push(Math.abs(at) < step / 1e3 ? 0 : at);
  }
  return found;
}
