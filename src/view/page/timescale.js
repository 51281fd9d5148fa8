// The ruler above the waterfall, and its lines behind the bars.

import { el } from "./dom.js";
import { duration } from "./format.js";
import { ticks } from "./tree.js";

const TICK_PX = 90;
const LEAST_TICKS = 2;
const LAST_SHARE = 0.9;

/** The ruler and the grid. */
export class Timescale {
  #marks = el("span", { class: "timing" });
  #lines = el("span", { class: "timing" });

  constructor() {
    const [named, bare] = [
      ["Span", "Took", "Self"],
      ["", "", ""],
    ].map(([naming, took, self]) => [
      el("span", { class: "naming" }, naming),
      el("span", { class: "took" }, took),
      el("span", { class: "self" }, self),
    ]);
    this.ruler = el("div", { class: "row ruler", "aria-hidden": "true" }, named, this.#marks);
    this.grid = el("div", { class: "row grid", "aria-hidden": "true" }, bare, this.#lines);
  }

  /** Shows a window of time, in microseconds. */
  show({ from, to }) {
    const times = ticks(from, to, Math.max(this.#marks.clientWidth / TICK_PX, LEAST_TICKS));
    const share = (us) => (us - from) / (to - from);
    this.#marks.replaceChildren(
      ...times.map((us) =>
        at(
          share(us),
          el(
            "span",
            { class: share(us) > LAST_SHARE ? "last" : null },
            us === 0 ? "0" : duration(us),
          ),
        ),
      ),
    );
    this.#lines.replaceChildren(...times.map((us) => at(share(us), el("i", {}))));
  }
}

function at(share, element) {
  element.style.left = `${share * 100}%`;
  return element;
}
