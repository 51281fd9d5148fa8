// The books: of each sidecar (what it made, sent, dropped, and has yet to send), and of this
// server. What does not add up is said.

import { bad, Cards } from "./cards.js";
import { become, el } from "./dom.js";
import { ago, bytes, clock, count, duration } from "./format.js";
import { service } from "./service.js";

const STALE_US = 60e6;

const COLUMNS = [
  {
    name: "Sidecar",
    cell: (one) => [el("b", {}, service(one.service)), el("small", {}, one.instance)],
  },
  { name: "Seen", cell: (one) => bad(one.seen_us_ago > STALE_US, ago(one.seen_us_ago)) },
  ...["Requests", "Faults", "Created", "Exported", "Queued"].map((name) => ({
    name,
    isNumber: true,
    cell: (one) => count(one[name.toLowerCase()]),
  })),
  { name: "Dropped", isNumber: true, cell: dropped },
  { name: "Balance", isNumber: true, cell: balance },
];

/** The view; see `app.js` for what a view is. */
export class HealthView {
  title = "Health";
  #note = el("p", { class: "kept" });
  #table = new Cards("Books of the sidecars, in spans", COLUMNS, {
    key: (one) => `${one.service}\n${one.instance}`,
  });
  #nothing = el("p", { class: "nothing", hidden: true });
  #own = el("dl", { class: "books" });

  constructor(route) {
    this.#table.element.hidden = true;
    this.element = el(
      "div",
      { class: "health" },
      el("div", { class: "headline" }, el("h1", {}, "Health"), this.#note),
      el("h2", {}, "Sidecars"),
      el(
        "p",
        { class: "lead" },
        "Every span that was created is exported, dropped for a reason, or queued: the balance is 0.",
      ),
      this.#table.element,
      this.#nothing,
      el("h2", {}, "This server"),
      this.#own,
    );
    this.update(route);
  }

  path() {
    return "/api/health";
  }

  update(route) {
    this.#note.textContent = route.params.get("tenant")
      ? "The books are of all tenants together."
      : "";
  }

  show(data) {
    const isEmpty = data.sidecars.length === 0;
    this.#say(
      isEmpty
        ? "No sidecar has told its books yet. They come with its own metrics, every few seconds."
        : "",
    );
    this.#table.show(data.sidecars, {
      more: logs,
      look: (one) => (one.logs.length ? "open" : null),
    });
    become(this.#own, el("dl", { class: "books" }, facts(data.view)));
  }

  fail(_, sentence) {
    this.#say(sentence);
  }

  #say(sentence) {
    this.#nothing.textContent = sentence;
    this.#nothing.hidden = !sentence;
    this.#table.element.hidden = Boolean(sentence);
  }
}

function dropped(one) {
  const some = one.dropped.filter(({ spans }) => spans > 0);
  const all = some.reduce((sum, { spans }) => sum + spans, 0);
  return [
    bad(all > 0, count(all)),
    some.length > 0 &&
      el(
        "ul",
        { class: "reasons" },
        some.map(({ reason, spans }) => el("li", {}, `${reason} ${count(spans)}`)),
      ),
  ];
}

function balance({ balance: left }) {
  return left === 0
    ? el("span", { class: "good" }, "0 ✓")
    : el("span", { class: "bad" }, `${count(left)} ✕`);
}

function logs(one) {
  if (one.logs.length === 0) return null;
  const lines = one.logs.map((line) =>
    el(
      "li",
      { class: /^(warn|error)$/i.test(line.level) ? line.level.toLowerCase() : null },
      el("time", {}, clock(line.time_us)),
      " ",
      el("b", {}, line.level),
      " ",
      line.text,
    ),
  );
  return el(
    "details",
    {},
    el("summary", {}, `last log lines of ${one.service} (${count(lines.length)})`),
    el("ol", {}, lines),
  );
}

function facts(view) {
  const full = view.limit_bytes ? view.bytes / view.limit_bytes : 0;
  return [
    fact("Spans received", count(view.spans_received)),
    fact("Spans kept", count(view.spans_kept)),
    fact("Spans that made room", count(view.spans_evicted)),
    fact("Spans that came again", count(view.spans_repeated)),
    fact("Spans refused", bad(view.spans_refused > 0, count(view.spans_refused))),
    fact("Requests refused", bad(view.requests_refused > 0, count(view.requests_refused))),
    fact("Traces kept", count(view.traces_kept)),
    fact("Traces that made room", count(view.traces_evicted)),
    fact("Memory", [
      `${bytes(view.bytes)} of ${bytes(view.limit_bytes)}`,
      el("meter", {
        min: 0,
        max: 1,
        value: full,
        "aria-label": "Share of the memory that traces take up",
      }),
    ]),
    fact("Up for", duration(view.uptime_us)),
  ];
}

function fact(name, content) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, content));
}
