// One row of the waterfall: what the span is, how long it took, and its bar in time. On the bar,
// the solid parts are the span's own time, the pale ones the time of its children, and the line
// above is its part in the critical path.

import { serviceClass } from "./colors.js";
import { el, place } from "./dom.js";
import { count, duration, exactly, many, offset } from "./format.js";
import { swatch } from "./service.js";
import { criticalParts, drawable, selfParts, startOf } from "./tree.js";

const MOST_INDENT = 16;
const MOST_EVENTS = 100;

/** The row. */
export class SpanRow {
  /**
   * `look` says how the node is looked at: the window of time `from` and `to`, whether
   * `isAligned`, whether its subtree `isClosed`, when the trace `began`, and the `indent` of a
   * level in pixels.
   */
  constructor(node, look) {
    const { span } = node;
    this.element = el(
      "div",
      {
        id: `span-${span.id}`,
        role: "treeitem",
        data: { span: span.id },
        class: `row ${serviceClass(span.service)}${span.status === "error" ? " error" : ""}`,
        "aria-level": span.depth + 1,
        "aria-expanded": node.children.length ? String(!look.isClosed) : null,
        "aria-label": says(node),
      },
      naming(node, look),
      el("span", { class: "took" }, duration(span.duration_us)),
      el("span", { class: "self" }, duration(span.self_us)),
      timing(node, look),
    );
  }

  setPlace(top) {
    this.element.style.top = `${top}px`;
  }

  setCurrent(isCurrent) {
    this.element.classList.toggle("current", isCurrent);
    this.element.setAttribute("aria-selected", String(isCurrent));
  }

  setMarked(isMarked) {
    this.element.classList.toggle("marked", isMarked);
  }
}

/** The row in one sentence. */
function says(node) {
  const { span } = node;
  return [
    `${span.service} ${span.name}`,
    span.kind,
    duration(span.duration_us),
    `self ${duration(span.self_us)}`,
    span.critical_us > 0 && `${duration(span.critical_us)} on the critical path`,
    span.status === "error" && "error",
    below(node) > 0 && many(below(node), "span below", "spans below"),
  ]
    .filter(Boolean)
    .join(", ");
}

function below(node) {
  return node.end - node.at - 1;
}

function naming(node, look) {
  const { span } = node;
  const caret = node.children.length
    ? el(
        "span",
        { class: "caret", "aria-hidden": "true", title: look.isClosed ? "Open (→)" : "Close (←)" },
        look.isClosed ? "▸" : "▾",
      )
    : el("span", { class: "caret none" });
  const isSaying = span.kind !== "internal" && span.kind !== "unspecified";
  const name = el(
    "span",
    { class: "naming" },
    caret,
    swatch(),
    span.status === "error" &&
      el("em", { class: "mark error", title: span.status_message || "error" }, "✕"),
    el("b", {}, span.service),
    el("span", { class: "name" }, span.name),
    look.isClosed &&
      el("em", { class: "mark" }, `+${count(below(node))}${hidesErrors(node) ? " ✕" : ""}`),
    oddities(span),
    isSaying && el("small", { class: "kind" }, span.kind),
  );
  name.style.paddingLeft = `${Math.min(span.depth, MOST_INDENT) * look.indent + 4}px`;
  return name;
}

function hidesErrors(node) {
  return node.errors > (node.span.status === "error" ? 1 : 0);
}

/** What is odd about a span, in a word. */
function oddities(span) {
  const recorded = `recorded ${offset(span.start_us, "the trace began")}, aligned ${offset(span.aligned_us, "it")}`;
  return [
    span.is_orphan && ["parent missing", "Its parent is not here"],
    span.start_us !== span.aligned_us && ["clock off", `Its clock was off: ${recorded}`],
    span.links.length > 0 && [many(span.links.length, "link"), "It has links to other spans"],
  ]
    .filter(Boolean)
    .map(([text, title]) => el("em", { class: "mark", title }, text));
}

function timing({ span, children }, look) {
  const start = startOf(span, look.isAligned);
  const end = start + span.duration_us;
  if (end < look.from || start > look.to) {
    return el(
      "span",
      { class: "timing" },
      el("i", { class: `beyond ${end < look.from ? "before" : "after"}` }),
    );
  }
  // What lies outside the window ends just outside, where it cannot be seen.
  const share = (us) => Math.min(Math.max((us - look.from) / (look.to - look.from), -0.01), 1.01);
  const bars = (name, parts) =>
    parts.map(([from, to]) => place(el("i", { class: name }), share(from), share(to)));
  const recorded = exactly(look.began + span.start_us);
  return el(
    "span",
    { class: "timing", title: `${duration(start)} to ${duration(end)}; recorded at ${recorded}` },
    bars("bar", [[start, end]]),
    bars("own", drawable(selfParts(span, children, look.isAligned), look)),
    bars("critical", drawable(criticalParts(span, look.isAligned), look)),
    events(span, look, share),
  );
}

function events(span, look, share) {
  const shift = startOf(span, look.isAligned) - span.start_us;
  const shown = span.events
    .slice(0, MOST_EVENTS)
    .map((event) => ({ event, at: event.at_us + shift }));
  return shown
    .filter(({ at }) => at >= look.from && at <= look.to)
    .map(({ event, at }) => {
      const mark = el("i", { class: "event", title: `${event.name}, ${duration(at)}` });
      mark.style.left = `${share(at) * 100}%`;
      return mark;
    });
}
