// The head of a trace: what it is, how long it took and when, whose it is, and ways to take it
// elsewhere. Below it, where clocks differ, by how much.

import { copyButton } from "./copy.js";
import { el } from "./dom.js";
import { clock, count, duration, exactly, many } from "./format.js";
import { lastList } from "./route.js";
import { service, some } from "./service.js";

const MOST_NAMED = 30;

/** The way back to the list. */
export function back() {
  return el("a", { class: "back", href: lastList() }, "← Traces");
}

/** The head, seen through the lens of `tenant` if there is one. */
export function traceHead(trace, tenant) {
  const root = trace.spans[0];
  return [
    el(
      "div",
      { class: "headline" },
      el(
        "div",
        {},
        back(),
        el(
          "h1",
          { tabindex: -1 },
          el("b", {}, root.service),
          " ",
          el("span", { class: "name" }, root.name),
        ),
      ),
      actions(trace),
    ),
    el(
      "ul",
      { class: "sum" },
      el("li", {}, el("b", {}, duration(trace.duration_us))),
      el("li", {}, many(trace.spans_total, "span")),
      trace.errors > 0 && el("li", { class: "bad" }, "✕ ", many(trace.errors, "error")),
      trace.missing_parents > 0 &&
        el("li", { class: "warn" }, many(trace.missing_parents, "parent"), " missing"),
      trace.spans_not_kept > 0 &&
        el("li", { class: "warn" }, many(trace.spans_not_kept, "span"), " not kept"),
      el(
        "li",
        {},
        el(
          "time",
          { datetime: exactly(trace.start_us), title: exactly(trace.start_us) },
          clock(trace.start_us),
        ),
      ),
      tenants(trace.tenants, tenant),
      el(
        "li",
        { class: "services" },
        some(trace.services, MOST_NAMED, (name) => service(name)),
      ),
    ),
  ];
}

function tenants(all, chosen) {
  return [
    some(all, MOST_NAMED, (tenant) => el("li", {}, "tenant ", el("b", {}, tenant))),
    all.length > 1 && el("li", { class: "bad" }, `✕ ${count(all.length)} tenants in one trace`),
    chosen && !all.includes(chosen) && el("li", { class: "warn" }, `not of tenant ${chosen}`),
  ];
}

function actions(trace) {
  const at = `${location.origin}/api/traces/${trace.id}`;
  return el(
    "div",
    { class: "actions" },
    el("code", { class: "id" }, trace.id),
    copyButton("copy id", () => trace.id, "Copy the trace id"),
    copyButton("copy curl", () => `curl '${at}'`, "Copy the command that fetches this trace"),
    el("a", { class: "small", href: at, target: "_blank", rel: "noopener" }, "JSON"),
    el("a", { class: "small", href: `${at}/otlp`, download: `${trace.id}.otlp.json` }, "OTLP JSON"),
  );
}

/**
 * Says whose clocks differ; `align(isWanted)` is called where the reader wants the times aligned
 * or as they were recorded, `jump(span)` to see one.
 */
export function clocks(skew, { isAligned, align, jump }) {
  const choice = (text, value) => {
    const input = el("input", { type: "radio", name: "clocks", change: () => align(value) });
    input.checked = isAligned === value;
    return el("label", {}, input, el("span", {}, text));
  };
  const lines = skew.map((one) =>
    el(
      "li",
      {},
      el("button", { type: "button", class: "link", click: () => jump(one.span) }, one.to),
      ` has a clock ${duration(Math.abs(one.offset_us))} ${one.offset_us > 0 ? "ahead of" : "behind"} that of ${one.from}`,
    ),
  );
  return el(
    "section",
    { class: "clocks", "aria-label": "Clocks" },
    el("ul", {}, lines),
    el(
      "fieldset",
      { class: "switch" },
      el("legend", { class: "away" }, "Times"),
      choice("clocks aligned", true),
      choice("as recorded", false),
    ),
  );
}
