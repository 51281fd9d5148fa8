// One row of the list of traces. It is made once and then only changes its texts, so that it can
// be pointed at, focused or selected while more becomes known of its trace.

import { serviceClass } from "./colors.js";
import { arrange, el, retext } from "./dom.js";
import { clock, count, duration, exactly, many } from "./format.js";
import { service, some } from "./service.js";

const MOST_SERVICES = 5;
// The strip under a duration is logarithmic, between these, in microseconds.
const STRIP = { from: 100, to: 10e6, least: 0.01 };

/** The row. */
export class TraceRow {
  #address;
  #stamp = "";
  #time = el("time", {});
  #swatch = el("i", { "aria-hidden": "true" });
  #service = el("b", {});
  #name = el("span", { class: "name" });
  #link = el("a", { class: "request" }, this.#swatch, this.#service, " ", this.#name);
  #marks = el("span", { class: "marks" });
  #length = el("span", {});
  #strip = el("i", { class: "strip", "aria-hidden": "true" });
  #spans = el("span", {});
  #unit = el("span", { class: "unit" });
  #services = el("td", { class: "of-services" });
  #tenant = el("td", { class: "of-tenant" });

  /** `address(trace)` gives the link to a trace. */
  constructor(address) {
    this.#address = address;
    this.element = el(
      "tr",
      { click: (event) => this.#follow(event) },
      el("td", { class: "of-time" }, this.#time),
      el("td", { class: "of-request" }, el("div", {}, this.#link, this.#marks)),
      el("td", { class: "of-duration number" }, this.#length, this.#strip),
      el("td", { class: "of-spans number" }, this.#spans, this.#unit),
      this.#services,
      this.#tenant,
    );
  }

  show(trace) {
    const stamp = JSON.stringify([trace, this.#address(trace)]);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    this.element.dataset.trace = trace.id;
    this.element.classList.toggle("error", trace.status === "error");
    retext(this.#time, clock(trace.start_us));
    this.#time.dateTime = this.#time.title = exactly(trace.start_us);
    this.#showRequest(trace);
    retext(this.#length, duration(trace.duration_us));
    this.#strip.style.width = `${stripShare(trace.duration_us) * 100}%`;
    retext(this.#spans, count(trace.spans));
    retext(this.#unit, trace.spans === 1 ? " span" : " spans");
    arrange(this.#services, chips(trace.services));
    retext(this.#tenant, trace.tenant ?? "");
  }

  #showRequest(trace) {
    const title = titleOf(trace);
    this.#swatch.className = `swatch ${serviceClass(trace.service)}`;
    retext(this.#service, trace.service);
    retext(this.#name, title);
    this.#link.setAttribute("href", this.#address(trace));
    this.#link.title = `${trace.service} ${title}`;
    arrange(
      this.#marks,
      [
        trace.status === "error" &&
          el("em", { class: "mark error" }, "✕ ", many(trace.errors, "error")),
        !trace.is_complete &&
          el(
            "em",
            { class: "mark", title: "Spans are missing, or have not arrived yet" },
            "not complete",
          ),
      ].filter(Boolean),
    );
  }

  /** A click anywhere in the row is one on its link, unless it was made to select text. */
  #follow(event) {
    if (event.target.closest("a") || !getSelection().isCollapsed) return;
    this.#link.click();
  }
}

/** The name of the first span, with its route where the name does not say it. */
function titleOf(trace) {
  if (!trace.route || trace.name.includes(trace.route)) return trace.name;
  return `${trace.name} ${trace.route}`;
}

function stripShare(us) {
  const whole = Math.log10(STRIP.to / STRIP.from);
  return Math.min(Math.max(Math.log10(Math.max(us, 1) / STRIP.from) / whole, STRIP.least), 1);
}

function chips(services) {
  const chip = (one) => service(one.name, `${one.name}: ${many(one.spans, "span")}`);
  return some(services, MOST_SERVICES, chip).filter(Boolean);
}
