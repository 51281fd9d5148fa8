// One trace: what it tells in words, its waterfall, and the details of the span that is chosen.
// Spans that arrive late are added without losing what is looked at.

import { introduce } from "./colors.js";
import { el } from "./dom.js";
import { address, note } from "./route.js";
import { SpanPanel } from "./span.js";
import { back, clocks, traceHead } from "./tracehead.js";
import { verdictCard } from "./verdict.js";
import { Waterfall } from "./waterfall.js";

const LEGEND = [
  ["own", "its own time"],
  ["bar", "time of its children"],
  ["critical", "critical path"],
  ["event", "event"],
];

/** The view; see `app.js` for what a view is. */
export class TraceView {
  #id;
  #params;
  #trace = null;
  #wanted;
  #isAligned = true;
  #head = el("header", { class: "head" }, back(), el("h1", { tabindex: -1 }, "Trace"));
  #words = el("div", {});
  #clocks = el("div", {});
  #problem = el("div", { class: "nothing", hidden: true });
  #fall = new Waterfall({
    choose: (id) => this.#open(id),
    move: (id) => this.#moved(id),
    covered: () => this.#cover(),
  });
  #panel = new SpanPanel({ close: () => this.#shut(), jump: (id) => this.#jump(id) });
  #zoomButton = el(
    "button",
    {
      type: "button",
      class: "small",
      title: "Zoom to the span, or out again (z)",
      click: () => this.#zoom(),
    },
    "zoom",
  );
  #whole;

  constructor(route) {
    this.#id = route.id;
    this.#params = route.params;
    this.#wanted = route.params.get("span") ?? "";
    this.title = `Trace ${route.id.slice(0, 8)}`;
    const tools = el(
      "div",
      { class: "bar" },
      el(
        "div",
        { class: "legend" },
        LEGEND.map(([name, says]) =>
          el("span", {}, el("i", { class: `sample ${name}`, "aria-hidden": "true" }), says),
        ),
      ),
      el(
        "div",
        { class: "buttons" },
        el(
          "button",
          { type: "button", class: "small", click: () => this.#fall.foldAll(false) },
          "open all",
        ),
        el(
          "button",
          { type: "button", class: "small", click: () => this.#fall.foldAll(true) },
          "close all",
        ),
        this.#zoomButton,
      ),
    );
    this.#whole = el(
      "div",
      { class: "whole", hidden: true },
      this.#words,
      this.#clocks,
      el(
        "div",
        { class: "work" },
        el("div", { class: "left" }, tools, this.#fall.element),
        this.#panel.element,
      ),
    );
    this.element = el("article", { class: "trace" }, this.#head, this.#problem, this.#whole);
  }

  path() {
    return `/api/traces/${encodeURIComponent(this.#id)}`;
  }

  update(route) {
    this.#params = route.params;
    const span = route.params.get("span");
    if (span && span !== this.#wanted) this.#jump(span);
    if (this.#trace) this.#showHead();
  }

  show(trace) {
    const isFirst = !this.#trace;
    this.#trace = trace;
    this.#problem.hidden = true;
    this.#whole.hidden = false;
    introduce(trace.services);
    const stay = this.#fall.show(trace);
    this.#showHead();
    this.#showWords();
    stay();
    const node = this.#fall.node(this.#wanted);
    if (isFirst && node) this.#jump(this.#wanted);
    else if (this.#panel.isOpen() && node)
      this.#panel.show(node, trace, this.#params.get("tenant"));
  }

  fail(status, sentence) {
    const isGone = status === 404;
    this.#head.replaceChildren(
      back(),
      el("h1", { tabindex: -1 }, isGone ? "This trace is not here" : "This trace cannot be shown"),
    );
    this.#whole.hidden = true;
    this.#problem.hidden = false;
    this.#problem.replaceChildren(
      el("p", {}, el("code", {}, this.#id)),
      el(
        "p",
        {},
        isGone
          ? "It has not arrived, or has made room for newer ones. If it arrives, it is shown."
          : sentence,
      ),
    );
  }

  key(event) {
    if (event.key === "Escape" && this.#panel.isOpen()) this.#shut();
    else if (event.key === "b" && this.#trace?.verdict) this.#jump(this.#trace.verdict.span);
    else if (event.key === "e" && this.#fall.nextError()) this.#jump(this.#fall.nextError());
    else if (event.key === "z") this.#zoom();
    else return;
    event.preventDefault();
  }

  close() {
    this.#fall.close();
    document.body.style.removeProperty("--covered");
  }

  #showHead() {
    const root = this.#trace.spans[0];
    this.title = `${root.service} ${root.name}`;
    this.#head.replaceChildren(...traceHead(this.#trace, this.#params.get("tenant")));
  }

  /** The words stay as they are while they say the same, with the focus and the step they are at. */
  #showWords() {
    const { verdict, duration_us, skew } = this.#trace;
    const stamp = JSON.stringify([verdict, duration_us, skew]);
    if (this.#words.dataset.stamp === stamp) return;
    this.#words.dataset.stamp = stamp;
    const jump = (id, all) => this.#jump(id, all);
    this.#words.replaceChildren(verdictCard(verdict, this.#trace, { follow: jump, jump }));
    const align = (isWanted) => {
      this.#isAligned = isWanted;
      this.#fall.align(isWanted);
    };
    this.#clocks.replaceChildren(
      ...(skew.length ? [clocks(skew, { isAligned: this.#isAligned, align, jump })] : []),
    );
  }

  /** Shows the details of a span. */
  #open(id) {
    const node = this.#fall.node(id);
    if (!node) return;
    this.#fall.point(id);
    this.#panel.show(node, this.#trace, this.#params.get("tenant"));
    this.#cover();
    this.#remember(id);
  }

  #moved(id) {
    if (this.#panel.isOpen()) this.#open(id);
    else this.#remember(id);
  }

  #shut() {
    this.#panel.hide();
    this.#cover();
    this.#fall.focus();
  }

  /** Goes to a span, and marks it and others that the same was said about. */
  #jump(id, all = []) {
    this.#fall.mark(all);
    this.#open(id);
    if (this.#fall.reveal(id)) this.#fall.focus();
  }

  #zoom() {
    this.#zoomButton.textContent = this.#fall.zoom() ? "zoom out" : "zoom";
  }

  #remember(id) {
    this.#wanted = id;
    this.#params.set("span", id);
    note(address("trace", { id: this.#id, params: this.#params }));
  }

  /** How many pixels of the bottom of the screen the details cover, where they are a sheet. */
  #cover() {
    const { element } = this.#panel;
    const isSheet = this.#panel.isOpen() && getComputedStyle(element).position === "fixed";
    const covered = isSheet ? element.offsetHeight : 0;
    document.body.style.setProperty("--covered", `${covered}px`);
    return covered;
  }
}
