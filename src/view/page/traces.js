// The list of traces with its filters and its plot. What arrives while someone reads is announced
// and waits; rows that are shown change in place and never move by themselves.

import { introduce } from "./colors.js";
import { arrange, el, isInHand } from "./dom.js";
import { howToSend } from "./empty.js";
import { Filters } from "./filters.js";
import { bytes, count, many } from "./format.js";
import { address, apiQuery, FILTERS, go, rememberList } from "./route.js";
import { Scatter } from "./scatter.js";
import { TraceRow } from "./tracerow.js";

const LIMITS = [200, 500, 2000];
const SCROLLED_PX = 8;
const HEADS = ["Time", "Request", "Duration", "Spans", "Services", "Tenant"];
const NO_FACETS = { services: [], routes: [], tenants: [] };

// What the reader left behind on the way to a trace, for the way back.
let left = null;

/** The view; see `app.js` for what a view is. */
export class TracesView {
  title = "Traces";
  #params;
  #shown = null;
  #waiting = null;
  #isRefused = false;
  #rows = new Map();
  #form = new Filters({
    change: (params) => go(address("traces", { params })),
    open: (id, span) =>
      go(address("trace", { id, params: { span, tenant: this.#params.get("tenant") } })),
  });
  #plot = new Scatter({ open: (trace) => go(this.#addressOf(trace)) });
  #heading = el("h1", { tabindex: -1 }, "Traces");
  #kept = el("p", { class: "kept" });
  #found = el("p", { class: "found", role: "status" });
  #fresh = el("button", {
    type: "button",
    class: "fresh",
    hidden: true,
    click: () => this.#showWaiting(),
  });
  #body = el("tbody");
  #table = el(
    "table",
    { class: "list" },
    el("caption", { class: "away" }, "Traces, newest first"),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        HEADS.map((name) => el("th", { scope: "col", class: `of-${name.toLowerCase()}` }, name)),
      ),
    ),
    this.#body,
  );
  #nothing = el("div", { class: "nothing", hidden: true });
  #more = el(
    "button",
    { type: "button", class: "more", hidden: true, click: () => this.#showMore() },
    "Show more",
  );
  #results = el(
    "div",
    { class: "results" },
    this.#plot.element,
    el("div", { class: "bar" }, this.#found, el("div", { role: "status" }, this.#fresh)),
    this.#table,
    this.#nothing,
    this.#more,
  );

  constructor(route) {
    this.#params = route.params;
    this.element = el(
      "div",
      { class: "traces" },
      el("div", { class: "headline" }, this.#heading, this.#kept),
      this.#form.element,
      this.#results,
    );
    this.#form.show(this.#params, left?.data.facets ?? NO_FACETS);
  }

  /** Called once the element is in the page: shows what was left, where it was left. */
  enter() {
    if (left?.hash !== location.hash) return;
    this.#replace(left.data);
    scrollTo(0, left.scroll);
  }

  path() {
    return `/api/traces${apiQuery(this.#params, { limit: this.#limit() })}`;
  }

  update(route) {
    this.#params = route.params;
    this.#shown = this.#waiting = null;
  }

  show(data) {
    this.#form.show(this.#params, data.facets);
    if (this.#shown && !this.#isRefused && this.#isRead()) this.#hold(data);
    else this.#replace(data);
  }

  /** What waited is shown once nobody reads. */
  settle() {
    if (this.#waiting && !this.#isRead()) this.#replace(this.#waiting);
  }

  fail(_, sentence) {
    this.#isRefused = true;
    this.#form.refuse(sentence);
  }

  /** Leaves things as they are for the way back to `hash`. */
  close(hash) {
    rememberList(hash);
    left = this.#shown && { hash, data: this.#shown, scroll: scrollY };
  }

  #isRead() {
    return scrollY > SCROLLED_PX || isInHand(this.#results);
  }

  /** Shows `data` as it is, rows in its order. */
  #replace(data) {
    this.#shown = data;
    this.#waiting = null;
    this.#isRefused = false;
    this.#fresh.hidden = true;
    introduce(data.facets.services);
    arrange(
      this.#body,
      data.traces.map((trace) => this.#row(trace).element),
    );
    const present = new Set(data.traces.map((trace) => trace.id));
    for (const id of this.#rows.keys()) if (!present.has(id)) this.#rows.delete(id);
    this.#more.hidden = data.matched <= data.traces.length || this.#limit() === LIMITS.at(-1);
    this.#showEmptiness(data);
    this.#showCounts(data);
    this.#plot.show(data.traces);
  }

  /** Keeps the rows where they are, with what is newly known of them, and counts the others. */
  #hold(data) {
    this.#waiting = data;
    const later = new Map(data.traces.map((trace) => [trace.id, trace]));
    const traces = this.#shown.traces.map((trace) => later.get(trace.id) ?? trace);
    this.#shown = { ...this.#shown, traces };
    for (const trace of traces) {
      this.#row(trace);
      later.delete(trace.id);
    }
    const isAll = later.size === data.traces.length && data.matched > later.size;
    this.#fresh.hidden = later.size === 0;
    this.#fresh.textContent = `${isAll ? "more than " : ""}${many(later.size, "new trace")} – show`;
    this.#showCounts(data);
  }

  #showWaiting() {
    const isAway = this.#results.getBoundingClientRect().top < 0;
    if (this.#waiting) this.#replace(this.#waiting);
    this.#heading.focus({ preventScroll: true });
    if (isAway) scrollTo(0, 0);
  }

  #showMore() {
    const params = new URLSearchParams(this.#params);
    params.set("limit", String(LIMITS[LIMITS.indexOf(this.#limit()) + 1]));
    go(address("traces", { params }));
  }

  #row(trace) {
    let row = this.#rows.get(trace.id);
    if (!row) {
      row = new TraceRow((of) => this.#addressOf(of));
      this.#rows.set(trace.id, row);
    }
    row.show(trace);
    return row;
  }

  #addressOf(trace) {
    return address("trace", { id: trace.id, params: { tenant: this.#params.get("tenant") } });
  }

  #limit() {
    const wanted = Number(this.#params.get("limit"));
    return LIMITS.includes(wanted) ? wanted : LIMITS[0];
  }

  #isFiltered() {
    return [...this.#params].some(([key, text]) => FILTERS.includes(key) && text);
  }

  #showCounts({ kept, matched }) {
    this.#kept.textContent = [
      `kept ${many(kept.traces, "trace")}, ${many(kept.spans, "span")}, ${bytes(kept.bytes)} of ${bytes(kept.limit_bytes)}`,
      kept.evicted_traces ? `${count(kept.evicted_traces)} older made room` : "",
      kept.refused_spans ? `${many(kept.refused_spans, "span")} refused` : "",
    ]
      .filter(Boolean)
      .join(" · ");
    const listed = this.#shown.traces.length;
    const all =
      listed < matched
        ? `newest ${count(listed)} of ${many(matched, "trace")}`
        : many(matched, "trace");
    this.#found.hidden = kept.traces === 0;
    this.#found.textContent = this.#isFiltered() ? `${all} found` : all;
  }

  #showEmptiness(data) {
    const isEmpty = data.traces.length === 0;
    this.#nothing.hidden = !isEmpty;
    this.#table.hidden = this.#plot.element.hidden = isEmpty;
    if (!isEmpty) return;
    const state = data.kept.traces === 0 && !this.#isFiltered() ? "none" : "unmatched";
    if (this.#nothing.dataset.state === state) return;
    this.#nothing.dataset.state = state;
    this.#nothing.replaceChildren(
      state === "none" ? howToSend(data.receivers) : el("p", {}, "No trace that is kept matches these filters."),
    );
  }
}
