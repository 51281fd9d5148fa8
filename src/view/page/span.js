// The details of one span, beside the waterfall or, where there is no room, in a sheet at the
// bottom. What the sender wrote is shown as text only, also where it looks like an address.

import { copyButton } from "./copy.js";
import { el } from "./dom.js";
import { clock, duration, offset, share, value } from "./format.js";
import { serviceClass } from "./colors.js";
import { address } from "./route.js";
import { swatch } from "./service.js";

/** The panel. */
export class SpanPanel {
  #close;
  #jump;
  #shown = "";
  #search = el("input", {
    type: "search",
    placeholder: "filter attributes",
    "aria-label": "Filter attributes",
    autocomplete: "off",
    spellcheck: "false",
    input: () => this.#list(),
  });
  #lists = el("div", {});
  #list = () => {};

  /** `close()` is called where the reader puts the panel away, `jump(id)` to go to another span. */
  constructor({ close, jump }) {
    this.#close = close;
    this.#jump = jump;
    this.element = el("aside", { class: "details", "aria-label": "Span", hidden: true });
  }

  /** Shows a node of a trace; where it is the one that is shown, without touching what is the same. */
  show(node, trace, tenant) {
    const stamp = JSON.stringify([
      node.span,
      node.parent?.span.id,
      trace.start_us,
      trace.duration_us,
      tenant,
    ]);
    this.element.hidden = false;
    if (stamp === this.#shown) return;
    this.#shown = stamp;
    const { span } = node;
    this.#list = () =>
      this.#lists.replaceChildren(
        ...attributeLists(span, this.#search.value.trim().toLowerCase(), tenant),
      );
    this.#list();
    this.element.replaceChildren(
      heading(span, this.#close),
      el(
        "div",
        { class: "scroll" },
        facts(node, trace, this.#jump),
        events(span),
        links(span, tenant),
        this.#search,
        this.#lists,
        repeat(span),
      ),
    );
  }

  hide() {
    this.element.hidden = true;
    this.element.replaceChildren();
    this.#shown = "";
  }

  isOpen() {
    return !this.element.hidden;
  }
}

function heading(span, close) {
  return el(
    "header",
    { class: serviceClass(span.service) },
    el(
      "div",
      {},
      el(
        "h2",
        {},
        swatch(),
        el("b", {}, span.service),
        " ",
        el("span", { class: "name" }, span.name),
      ),
      span.status === "error" && el("p", { class: "bad" }, "✕ ", span.status_message || "error"),
    ),
    el(
      "button",
      {
        type: "button",
        class: "quiet",
        "aria-label": "Close the details",
        title: "Close (Esc)",
        click: close,
      },
      "×",
    ),
  );
}

function facts(node, trace, jump) {
  const { span } = node;
  const ofTrace =
    trace.duration_us > 0 ? ` (${share(span.critical_us / trace.duration_us)} of the trace)` : "";
  const pairs = [
    ["Took", duration(span.duration_us)],
    ["Self", duration(span.self_us)],
    [
      "Critical path",
      span.critical_us > 0 ? `${duration(span.critical_us)}${ofTrace}` : "not on it",
    ],
    ["Began", `${offset(span.start_us, "the trace")}, ${clock(trace.start_us + span.start_us)}`],
    span.start_us !== span.aligned_us && ["Clocks aligned", offset(span.aligned_us, "the trace")],
    ["Kind", span.kind],
    ["Status", span.status],
    span.route && ["Route", span.route],
    span.tenant && ["Tenant", span.tenant],
    span.scope && ["Made by", span.scope],
    ["Span id", id(span.id)],
    ["Parent", parent(node, jump)],
  ].filter(Boolean);
  return el(
    "dl",
    { class: "facts" },
    pairs.map(([name, what]) => el("div", {}, el("dt", {}, name), el("dd", {}, what))),
  );
}

function id(text) {
  return [el("code", {}, text), " ", copyButton("copy", () => text, "Copy the id")];
}

function parent({ span, parent: above }, jump) {
  if (!span.parent) return "none: the root";
  if (span.is_orphan || !above)
    return [el("code", {}, span.parent), el("em", { class: "mark" }, "not here")];
  return el(
    "button",
    { type: "button", class: "link", click: () => jump(above.span.id) },
    `${above.span.service} ${above.span.name}`,
  );
}

function attributeLists(span, wanted, tenant) {
  const all = [
    ["Attributes", span.attributes],
    ["Resource", span.resource],
  ];
  const shown = all.map(([title, pairs]) => [
    title,
    pairs.filter(([key, given]) => matches(wanted, key, given)),
    pairs.length,
  ]);
  return shown
    .filter(([, , total]) => total > 0)
    .map(([title, pairs, total]) =>
      el(
        "section",
        {},
        el(
          "h3",
          {},
          title,
          " ",
          el("small", {}, wanted ? `${pairs.length} of ${total}` : String(total)),
        ),
        attributes(pairs, (key, given) => findLink(key, given, tenant)),
      ),
    );
}

function matches(wanted, key, given) {
  return (
    !wanted || key.toLowerCase().includes(wanted) || value(given).toLowerCase().includes(wanted)
  );
}

/** Names and values, each with what `beside(key, value)` gives. */
function attributes(pairs, beside = () => null) {
  return el(
    "dl",
    { class: "attributes" },
    pairs.map(([key, given]) =>
      el(
        "div",
        {},
        el("dt", {}, key),
        el(
          "dd",
          { class: typeof given === "string" ? null : "exact" },
          value(given),
          beside(key, given),
        ),
      ),
    ),
  );
}

/** The way to the traces that have the same attribute. */
function findLink(key, given, tenant) {
  if (typeof given === "object") return null;
  const to = address("traces", { params: { attribute: `${key}=${value(given)}`, tenant } });
  return el(
    "a",
    {
      class: "find",
      title: "Traces with the same",
      "aria-label": `Traces with the same ${key}`,
      href: to,
    },
    "⌕",
  );
}

function events(span) {
  if (span.events.length === 0) return null;
  return el(
    "section",
    {},
    el("h3", {}, "Events ", el("small", {}, String(span.events.length))),
    el(
      "ol",
      { class: "events" },
      span.events.map((event) =>
        el(
          "li",
          {},
          el(
            "p",
            {},
            el("i", { class: "event", "aria-hidden": "true" }),
            el("b", {}, event.name),
            " ",
            el("small", {}, offset(event.at_us - span.start_us, "the span began")),
          ),
          event.attributes.length > 0 && attributes(event.attributes),
        ),
      ),
    ),
  );
}

function links(span, tenant) {
  if (span.links.length === 0) return null;
  return el(
    "section",
    {},
    el("h3", {}, "Links ", el("small", {}, String(span.links.length))),
    el(
      "ol",
      { class: "events" },
      span.links.map((link) =>
        el(
          "li",
          {},
          el(
            "p",
            {},
            el(
              "a",
              { href: address("trace", { id: link.trace, params: { span: link.span, tenant } }) },
              el("code", {}, link.trace),
            ),
            " ",
            el("small", {}, "span ", el("code", {}, link.span)),
          ),
          link.attributes.length > 0 && attributes(link.attributes),
        ),
      ),
    ),
  );
}

function repeat(span) {
  if (!span.curl) return null;
  return el(
    "section",
    {},
    el("h3", {}, "The same request again"),
    el(
      "div",
      { class: "command" },
      el("code", {}, span.curl),
      copyButton("copy", () => span.curl, "Copy the command"),
    ),
    el("p", { class: "hint" }, "Headers and bodies are not recorded, so they are not in it."),
  );
}
