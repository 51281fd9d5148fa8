// The tenants and how each fares. Choosing one puts a lens over all views.

import { bad, Cards } from "./cards.js";
import { el } from "./dom.js";
import { ago, clock, count, duration, share } from "./format.js";
import { address, apiQuery } from "./route.js";
import { service, some } from "./service.js";

const MOST_SERVICES = 20;

/** The view; see `app.js` for what a view is. */
export class TenantsView {
  title = "Tenants";
  #params;
  #last = null;
  #table = new Cards(
    "Tenants",
    [
      { name: "Tenant", cell: (one) => this.#name(one) },
      { name: "Requests", isNumber: true, cell: (one) => count(one.requests) },
      {
        name: "Errors",
        isNumber: true,
        cell: (one) => bad(one.errors > 0, `${count(one.errors)} (${share(one.error_share)})`),
      },
      { name: "p50", isNumber: true, cell: (one) => duration(one.p50_us) },
      { name: "p99", isNumber: true, cell: (one) => duration(one.p99_us) },
      { name: "Traces", isNumber: true, cell: traces },
      {
        name: "Services",
        cell: (one) => some(one.services, MOST_SERVICES, (name) => service(name)),
      },
      {
        name: "Last seen",
        cell: (one) =>
          el("time", { title: clock(one.last_us) }, ago(Date.now() * 1e3 - one.last_us)),
      },
    ],
    { key: (one) => JSON.stringify(one.tenant) },
  );
  #nothing = el("p", { class: "nothing", hidden: true });

  constructor(route) {
    this.#params = route.params;
    this.#table.element.hidden = true;
    this.element = el(
      "div",
      {},
      el(
        "div",
        { class: "headline" },
        el("h1", {}, "Tenants"),
        el("p", { class: "kept" }, "Choose one to see only its traces in every view."),
      ),
      this.#table.element,
      this.#nothing,
    );
  }

  /** All tenants, whichever is chosen, so that another can be. */
  path() {
    const rest = new URLSearchParams(this.#params);
    rest.delete("tenant");
    return `/api/tenants${apiQuery(rest)}`;
  }

  update(route) {
    this.#params = route.params;
    if (this.#last) this.show(this.#last);
  }

  show(data) {
    this.#last = data;
    this.#say(data.tenants.length === 0 ? "No tenant has been seen yet." : "");
    this.#table.show(data.tenants, { look: (one) => (this.#isChosen(one) ? "chosen" : null) });
  }

  fail(_, sentence) {
    this.#say(sentence);
  }

  /** Says something instead of the table, or shows the table if there is nothing to say. */
  #say(sentence) {
    this.#nothing.textContent = sentence;
    this.#nothing.hidden = !sentence;
    this.#table.element.hidden = Boolean(sentence);
  }

  #isChosen({ tenant }) {
    return tenant !== null && tenant === this.#params.get("tenant");
  }

  /** The way to the lens; there is none for traces that are of no tenant. */
  #name(one) {
    if (one.tenant === null) return el("span", { class: "none" }, "no tenant");
    const isChosen = this.#isChosen(one);
    const to = address("tenants", { params: isChosen ? {} : { tenant: one.tenant } });
    return el(
      "a",
      { class: "choose", href: to, "aria-current": isChosen ? "true" : null },
      one.tenant,
      el("small", {}, isChosen ? "chosen" : "look at only this"),
    );
  }
}

function traces(one) {
  if (one.tenant === null) return count(one.traces);
  return el(
    "a",
    { href: address("traces", { params: { tenant: one.tenant } }) },
    count(one.traces),
  );
}
