// The service graph as SVG. The server says where everything lies; here it gets its shape: the
// width of a call is its rate, red and a cross say that some fail, and how pale it is that few do.

import { become, svg } from "./dom.js";
import { count, duration, many, rate, share } from "./format.js";
import { serviceClass } from "./colors.js";
import { curve, fitted, labelPlaces, widthOf } from "./graphshape.js";

const MARGIN = 16;
const LEAST_SCALE = 0.8;
const MOST_SCALE = 1.2;
const WIDTHS = { least: 1.5, most: 6 };
const FEW_ERRORS = 0.05;
const LABEL = { font: "12px", strong: "600 12px", height: 32, padding: 5 };

/** The drawing. */
export class GraphDrawing {
  #width = 0;
  #height = 0;
  element = svg("svg", { role: "group", "aria-label": "Drawing of the service graph" });

  /** Draws the graph; `links` has functions that give where a `call` and a `service` lead. */
  show(graph, links) {
    this.#width = graph.width + 2 * MARGIN;
    this.#height = graph.height + 2 * MARGIN;
    const fastest = Math.max(...graph.edges.map((edge) => edge.rate), Number.MIN_VALUE);
    const sizes = graph.edges.map(labelSize);
    const places = labelPlaces(graph, sizes);
    const next = this.element.cloneNode(false);
    next.setAttribute("viewBox", `${-MARGIN} ${-MARGIN} ${this.#width} ${this.#height}`);
    next.append(
      ...graph.edges.map((edge) => call(edge, graph, edge.rate / fastest, links)),
      ...graph.services.map((service) => node(service, callsOf(service, graph), links)),
      ...graph.edges.map((edge, at) => label(edge, places[at], sizes[at])),
    );
    become(this.element, next);
  }

  /** As wide as there is room for, but not so small that nobody can read it. */
  fit(room) {
    if (!this.#width || !room) return;
    const scale = Math.min(Math.max(room / this.#width, LEAST_SCALE), MOST_SCALE);
    this.element.setAttribute("width", this.#width * scale);
    this.element.setAttribute("height", this.#height * scale);
  }
}

function call(edge, graph, pace, links) {
  const { line, head } = curve(edge, graph);
  const width = WIDTHS.least + (WIDTHS.most - WIDTHS.least) * Math.sqrt(pace);
  return svg(
    "a",
    {
      href: links.call(edge),
      class: `edge${failing(edge)}`,
      "aria-label": `${edge.from} calls ${edge.to}: ${says(edge).join(", ")}`,
      "data-key": `edge\n${edge.from}\n${edge.to}`,
      "data-from": edge.from,
      "data-to": edge.to,
    },
    svg("title", {}, `${edge.from} → ${edge.to}: ${says(edge).join(", ")}`),
    svg("path", { class: "reach", d: line }),
    svg("path", { class: "line", d: line, "stroke-width": width.toFixed(2) }),
    svg("path", { class: "head", d: head }),
  );
}

/** The class of a call by how much of it fails. */
function failing(edge) {
  if (edge.errors === 0) return "";
  return edge.error_share < FEW_ERRORS ? " error few" : " error";
}

function says(edge) {
  return [
    many(edge.calls, isTimed(edge) ? "call" : "connection"),
    rate(edge.rate),
    `${share(edge.error_share)} errors`,
    ...(isTimed(edge) ? [`p50 ${duration(edge.p50_us)}`, `p99 ${duration(edge.p99_us)}`] : []),
  ];
}

/** Whether there is a request among them, or connections only, whose length says nothing. */
function isTimed(some) {
  return some.p99_us > 0;
}

function labelTexts(edge) {
  return [
    `${count(edge.calls)} ×`,
    edge.errors ? ` ✕ ${share(edge.error_share)}` : "",
    isTimed(edge) ? `${duration(edge.p50_us)} / ${duration(edge.p99_us)}` : "connections",
  ];
}

function labelSize(edge) {
  const [calls, failed, times] = labelTexts(edge);
  const width = Math.max(widthOf(calls + failed, LABEL.strong), widthOf(times, LABEL.font));
  return { width: width + 2 * LABEL.padding, height: LABEL.height };
}

function label(edge, [x, y], { width, height }) {
  const [calls, failed, times] = labelTexts(edge);
  return svg(
    "g",
    {
      class: "label",
      "data-key": `label\n${edge.from}\n${edge.to}`,
      transform: `translate(${x} ${y})`,
      "aria-hidden": "true",
    },
    svg("rect", { x: -width / 2, y: -height / 2, width, height, rx: 5 }),
    svg(
      "text",
      { y: -3 },
      svg("tspan", { class: "strong" }, calls),
      failed && svg("tspan", { class: "bad" }, failed),
    ),
    svg("text", { y: 11 }, times),
  );
}

/** How often its callers say that they called it. */
function callsOf(service, graph) {
  const calls = graph.edges.filter((edge) => edge.to === service.name);
  const number = calls.reduce((sum, edge) => sum + edge.calls, 0);
  return many(number, calls.some(isTimed) ? "call" : "connection");
}

function node(service, calls, links) {
  const [width, height] = [service.width, service.height];
  const isFailing = service.errors > 0;
  const part = service.requests ? service.errors / service.requests : 0;
  const times = isTimed(service) ? `p99 ${duration(service.p99_us)}` : "";
  const failed = isFailing ? `✕ ${share(part)}` : "";
  const numbers = service.is_traced
    ? [
        many(service.requests, isTimed(service) || !service.requests ? "request" : "connection"),
        [failed, times].filter(Boolean).join(" · "),
      ]
    : [calls, "seen by its callers only"];
  const said = numbers.filter(Boolean).join(", ");
  const room = Math.max(width - 24, 20);
  return svg(
    "a",
    {
      href: links.service(service),
      class: `node ${serviceClass(service.name)}${service.is_traced ? "" : " untraced"}${isFailing ? " error" : ""}`,
      "aria-label": `${service.name}: ${said}`,
      "data-key": `node\n${service.name}`,
      "data-service": service.name,
      transform: `translate(${service.x - width / 2} ${service.y - height / 2})`,
    },
    svg("title", {}, `${service.name}: ${said}`),
    svg("rect", { class: "box", width, height, rx: 8 }),
    svg("rect", { class: "stripe", x: 0, y: 8, width: 4, height: Math.max(height - 16, 4), rx: 2 }),
    svg(
      "text",
      { class: "title", x: 14, y: height / 2 - 12 },
      fitted(service.name, room, "600 14px"),
    ),
    svg("text", { x: 14, y: height / 2 + 6 }, fitted(numbers[0], room, "12px")),
    svg(
      "text",
      { class: isFailing ? "bad" : null, x: 14, y: height / 2 + 22 },
      fitted(numbers[1], room, "12px"),
    ),
  );
}
