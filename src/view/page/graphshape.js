// Shapes of the service graph: curves, arrow heads, and places for labels where they cover neither
// a service nor each other. All pure but for the measuring of text.

const HEAD = { length: 9, half: 5 };
// Where along a call its label may be, and how far above or below.
const ALONG = [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74];
const BESIDE_PX = [0, -12, 12, -24, 24, -36, 36];
// What it costs to be a pixel away from the call, and to cover a bit of any call's line; to cover
// a service or another label costs its area.
const COST = { aside: 3, line: 60 };
const SAMPLES = 32;
// With more calls than this, labels simply stand in the middle.
const MOST_PLACED = 60;

/** The line of a call as an SVG path, and the head of its arrow. */
export function curve(edge, graph) {
  const points = pointsOf(edge, graph);
  const last = points.at(-1);
  const before = points.at(-2);
  const isLoop = edge.from === edge.to;
  // The curve arrives level, so the head points the way the last stretch goes.
  const way = isLoop ? [0, 1] : [Math.sign(last[0] - before[0]) || 1, 0];
  const foot = [last[0] - way[0] * HEAD.length, last[1] - way[1] * HEAD.length];
  const stretches = segments([...points.slice(0, -1), foot], isLoop);
  const line = `M${text(points[0])}${stretches.map(([, b, c, d]) => `C${text(b)} ${text(c)} ${text(d)}`).join("")}`;
  const side = [way[1] * HEAD.half, way[0] * HEAD.half];
  const head = `M${text(last)}L${text([foot[0] + side[0], foot[1] + side[1]])}L${text([foot[0] - side[0], foot[1] - side[1]])}Z`;
  return { line, head };
}

function text([x, y]) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

/** The points of a call; of one to the caller itself, a loop above it if the server gives none. */
function pointsOf(edge, graph) {
  if (edge.from !== edge.to) return edge.points.length > 1 ? edge.points : between(edge, graph);
  const own = graph.services.find(({ name }) => name === edge.from);
  if (!own) return edge.points;
  const top = own.y - own.height / 2;
  return [
    [own.x - own.width / 5, top],
    [own.x, top - 34],
    [own.x + own.width / 5, top],
  ];
}

function between(edge, graph) {
  const find = (wanted) =>
    graph.services.find(({ name }) => name === wanted) ?? { x: 0, y: 0, width: 0 };
  const [from, to] = [find(edge.from), find(edge.to)];
  return [
    [from.x + from.width / 2, from.y],
    [to.x - to.width / 2, to.y],
  ];
}

/** Cubic curves through the points, level at each. */
function segments(points, isLoop) {
  return points.slice(1).map((to, at) => {
    const from = points[at];
    if (isLoop) {
      const isUp = to[1] < from[1];
      return isUp
        ? [from, [from[0], to[1]], [from[0], to[1]], to]
        : [from, [to[0], from[1]], [to[0], from[1]], to];
    }
    const pull = (to[0] - from[0]) / 2;
    return [from, [from[0] + pull, from[1]], [to[0] - pull, to[1]], to];
  });
}

function along(stretches, share) {
  const scaled = Math.min(share * stretches.length, stretches.length - 1e-9);
  const [a, b, c, d] = stretches[Math.floor(scaled)];
  const t = scaled % 1;
  const u = 1 - t;
  return [0, 1].map(
    (axis) =>
      u ** 3 * a[axis] + 3 * u * u * t * b[axis] + 3 * u * t * t * c[axis] + t ** 3 * d[axis],
  );
}

/** Where the labels of the calls go, whose sizes are `sizes`, in the order of the calls. */
export function labelPlaces(graph, sizes) {
  const curves = graph.edges.map((edge) => segments(pointsOf(edge, graph), edge.from === edge.to));
  if (curves.length > MOST_PLACED) return curves.map((stretches) => along(stretches, 0.5));
  const ink = curves.flatMap((stretches) =>
    Array.from({ length: SAMPLES }, (_, at) => along(stretches, at / SAMPLES)),
  );
  const taken = graph.services.map(({ x, y, width, height }) => ({ x, y, width, height }));
  return curves.map((stretches, at) => {
    const tried = BESIDE_PX.flatMap((aside) =>
      ALONG.map((share) => {
        const [x, y] = along(stretches, share);
        const place = { x, y: y + aside, ...sizes[at] };
        return { ...place, cost: Math.abs(aside) * COST.aside + covered(place, ink) * COST.line };
      }),
    );
    const found = cheapest(tried, taken);
    taken.push(found);
    return [found.x, found.y];
  });
}

/** How many points lie under a place. */
function covered(place, points) {
  return points.filter(
    ([x, y]) => Math.abs(x - place.x) < place.width / 2 && Math.abs(y - place.y) < place.height / 2,
  ).length;
}

/** The first of those that cover the least. */
function cheapest(tried, taken) {
  let [best, least] = [tried[0], Infinity];
  for (const place of tried) {
    const cost = place.cost + taken.reduce((sum, one) => sum + overlap(place, one), 0);
    if (cost < least) [best, least] = [place, cost];
  }
  return best;
}

function overlap(a, b) {
  const width = (a.width + b.width) / 2 - Math.abs(a.x - b.x);
  const height = (a.height + b.height) / 2 - Math.abs(a.y - b.y);
  return Math.max(width, 0) * Math.max(height, 0);
}

const measure = document.createElement("canvas").getContext("2d");

/** The width of a text in pixels. */
export function widthOf(words, font) {
  measure.font = `${font} system-ui, sans-serif`;
  return measure.measureText(words).width;
}

/** A text cut to a width in pixels, with a sign where something was cut. */
export function fitted(whole, room, font) {
  if (widthOf(whole, font) <= room) return whole;
  let [low, high] = [0, whole.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (widthOf(`${whole.slice(0, middle)}…`, font) <= room) low = middle;
    else high = middle - 1;
  }
  return `${whole.slice(0, low)}…`;
}
