// Who calls whom: the drawing, placed by the server from left to right, and the same numbers as a
// table. A service leads to its traces, a call to the traces that have it.

import { bad, Cards } from "./cards.js";
import { introduce } from "./colors.js";
import { el } from "./dom.js";
import { count, duration, many, rate, share } from "./format.js";
import { GraphDrawing } from "./graphdrawing.js";
import { address, apiQuery, FILTERS } from "./route.js";
import { service } from "./service.js";

/** The view; see `app.js` for what a view is. */
export class GraphView {
  title = "Service graph";
  #params;
  #window = el("p", { class: "kept" });
  #picture = new GraphDrawing();
  #stage = el(
    "div",
    { class: "graph", tabindex: 0, role: "region", "aria-label": "Service graph" },
    this.#picture.element,
  );
  #table = new Cards(
    "Calls between services",
    [
      { name: "Call", cell: (edge) => this.#link(edge) },
      { name: "Calls", isNumber: true, cell: (edge) => count(edge.calls) },
      { name: "Rate", isNumber: true, cell: (edge) => rate(edge.rate) },
      {
        name: "Errors",
        isNumber: true,
        cell: (edge) => bad(edge.errors > 0, `${count(edge.errors)} (${share(edge.error_share)})`),
      },
      { name: "p50", isNumber: true, cell: (edge) => edge.p99_us > 0 && duration(edge.p50_us) },
      { name: "p99", isNumber: true, cell: (edge) => edge.p99_us > 0 && duration(edge.p99_us) },
    ],
    { key: (edge) => `${edge.from}\n${edge.to}`, isCaptionShown: true },
  );
  #nothing = el("p", { class: "nothing", hidden: true });
  #resized = new ResizeObserver(() => this.#picture.fit(this.#stage.clientWidth));

  constructor(route) {
    this.#params = route.params;
    this.#stage.hidden = this.#table.element.hidden = true;
    this.element = el(
      "div",
      {},
      el("div", { class: "headline" }, el("h1", {}, "Service graph"), this.#window),
      this.#stage,
      this.#nothing,
      this.#table.element,
    );
    this.#resized.observe(this.#stage);
  }

  path() {
    return `/api/graph${apiQuery(this.#params)}`;
  }

  update(route) {
    this.#params = route.params;
  }

  show(data) {
    introduce(data.services.map(({ name }) => name));
    const isEmpty = data.services.length === 0;
    this.#say(isEmpty ? "No calls have been seen yet." : "");
    this.#window.textContent = isEmpty
      ? ""
      : `the last ${duration(data.window_us)} that are kept; on a call: how many, and p50 / p99`;
    this.#picture.show(data, {
      call: (edge) => this.#traces("edge", `${edge.from}>${edge.to}`),
      service: ({ name }) => this.#traces("service", name),
    });
    this.#picture.fit(this.#stage.clientWidth);
    this.#table.show(data.edges);
  }

  fail(_, sentence) {
    this.#say(sentence);
  }

  close() {
    this.#resized.disconnect();
  }

  #say(sentence) {
    this.#nothing.textContent = sentence;
    this.#nothing.hidden = !sentence;
    this.#stage.hidden = this.#table.element.hidden = Boolean(sentence);
  }

  /** The list of traces with one more filter; those that are on stay. */
  #traces(key, text) {
    const rest = [...this.#params].filter(
      ([name]) => FILTERS.includes(name) && name !== "edge" && name !== "service",
    );
    return address("traces", { params: new URLSearchParams([...rest, [key, text]]) });
  }

  #link(edge) {
    const to = this.#traces("edge", `${edge.from}>${edge.to}`);
    return el(
      "a",
      { href: to, title: `Traces with one of these ${many(edge.calls, "call")}` },
      service(edge.from),
      " → ",
      service(edge.to),
    );
  }
}
