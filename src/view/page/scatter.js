// The plot of durations over time: a point for each trace, errors as diamonds. One stop of the
// Tab key; the arrow keys move between points, Enter opens the trace.

import { el, svg } from "./dom.js";
import { clock, duration, many } from "./format.js";
import { axes, HEIGHT, key, mark, scaled } from "./scattershape.js";

const NEAR_PX = 24;
const TIP = { away: 14, height: 80 };

/** The plot. */
export class Scatter {
  #open;
  #traces = [];
  #points = [];
  #current = -1;
  #width = 0;
  #picture = svg("svg", { class: "scatter", height: HEIGHT, "aria-hidden": "true" });
  #ring = svg("circle", { class: "ring", r: 8, visibility: "hidden" });
  #tip = el("div", { class: "tip", hidden: true });
  #said = el("div", { class: "away", "aria-live": "polite" });
  #stage;

  /** `open(trace)` is called for the point that was chosen. */
  constructor({ open }) {
    this.#open = open;
    this.#stage = el(
      "div",
      {
        class: "stage",
        tabindex: 0,
        role: "group",
        "aria-roledescription": "plot",
        "aria-label": "Durations over time. Arrow keys move between traces, Enter opens one.",
        pointermove: (event) => this.#point(this.#nearest(event)),
        pointerleave: () => this.#point(-1),
        click: (event) => this.#choose(this.#nearest(event)),
        focus: () =>
          this.#stage.matches(":focus-visible") &&
          this.#current < 0 &&
          this.#point(this.#points.length - 1),
        blur: () => this.#point(-1),
        keydown: (event) => this.#press(event),
      },
      this.#picture,
      this.#tip,
      this.#said,
    );
    this.element = el(
      "figure",
      { class: "plot" },
      this.#stage,
      el(
        "p",
        { class: "legend" },
        [
          ["ok", "trace"],
          ["error", "with an error"],
          ["ok partial", "not complete"],
        ].map(([name, meaning]) => el("span", {}, key(name), meaning)),
      ),
    );
    new ResizeObserver(() => this.#stage.clientWidth !== this.#width && this.#draw()).observe(
      this.#stage,
    );
  }

  /** Draws these traces, which come newest first. */
  show(traces) {
    this.#traces = traces;
    this.#draw();
  }

  #draw() {
    this.#width = this.#stage.clientWidth;
    if (this.#width === 0) return;
    const chosen = this.#points[this.#current]?.trace.id;
    const scales = scaled(this.#traces, this.#width);
    this.#points = this.#traces
      .toReversed()
      .map((trace) => ({ trace, x: scales.x(trace.start_us), y: scales.y(trace.duration_us) }));
    // Errors are drawn last, so that nothing covers them.
    const [errors, others] = [true, false].map((is) =>
      this.#points.filter(({ trace }) => (trace.status === "error") === is),
    );
    this.#picture.setAttribute("width", this.#width);
    this.#picture.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    this.#picture.replaceChildren(
      axes(scales, this.#width),
      ...[...others, ...errors].map(mark),
      this.#ring,
    );
    this.#point(this.#points.findIndex(({ trace }) => trace.id === chosen));
  }

  #nearest(event) {
    const box = this.#picture.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let [found, least] = [-1, NEAR_PX];
    this.#points.forEach((candidate, at) => {
      const distance = Math.hypot(candidate.x - x, candidate.y - y);
      if (distance < least) [found, least] = [at, distance];
    });
    return found;
  }

  #choose(at) {
    if (this.#points[at]) this.#open(this.#points[at].trace);
  }

  #point(at) {
    this.#current = at;
    const chosen = this.#points[at];
    this.#ring.setAttribute("visibility", chosen ? "visible" : "hidden");
    this.#tip.hidden = !chosen;
    this.#stage.classList.toggle("pointing", Boolean(chosen));
    if (!chosen) return;
    this.#ring.setAttribute("cx", chosen.x);
    this.#ring.setAttribute("cy", chosen.y);
    const [title, ...lines] = says(chosen.trace);
    this.#tip.replaceChildren(el("b", {}, title), ...lines.map((line) => el("span", {}, line)));
    const isRight = chosen.x > this.#width / 2;
    this.#tip.style.left = isRight ? "" : `${chosen.x + TIP.away}px`;
    this.#tip.style.right = isRight ? `${this.#width - chosen.x + TIP.away}px` : "";
    this.#tip.style.top = `${Math.min(chosen.y, HEIGHT - TIP.height)}px`;
  }

  #press(event) {
    if (event.key === "Enter") return this.#choose(this.#current);
    const to = this.#destination(event.key);
    if (to === null) return;
    event.preventDefault();
    this.#point(to);
    const chosen = this.#points[to];
    if (chosen) this.#said.textContent = says(chosen.trace).join(", ");
  }

  /** The number of the point that a key leads to, or null. */
  #destination(pressed) {
    const last = this.#points.length - 1;
    switch (pressed) {
      case "ArrowRight":
        return Math.min(this.#current + 1, last);
      case "ArrowLeft":
        return this.#current < 0 ? last : Math.max(this.#current - 1, 0);
      case "ArrowUp":
        return this.#beside(1);
      case "ArrowDown":
        return this.#beside(-1);
      case "Home":
        return Math.min(0, last);
      case "End":
        return last;
      default:
        return null;
    }
  }

  /** The next longer or shorter one. */
  #beside(step) {
    const length = (at) => this.#points[at].trace.duration_us;
    const order = this.#points.map((_, at) => at).sort((a, b) => length(a) - length(b));
    const rank = order.indexOf(this.#current);
    return rank < 0
      ? order.length - 1
      : order[Math.min(Math.max(rank + step, 0), order.length - 1)];
  }
}

function says(trace) {
  return [
    `${trace.service} ${trace.name}`,
    `${duration(trace.duration_us)} at ${clock(trace.start_us)}`,
    `${many(trace.spans, "span")}${trace.errors ? `, ${many(trace.errors, "error")}` : ""}`,
  ];
}
