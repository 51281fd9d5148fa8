// The form of filters above the list. The address holds what is chosen; the form only shows it,
// and says what the reader wants instead.

import { arrange, el } from "./dom.js";
import { FILTERS, traceIn } from "./route.js";

const STATUS = [
  ["", "any"],
  ["error", "errors"],
  ["ok", "no errors"],
];
const TIME = "\\s*[0-9]+(\\.[0-9]+)?\\s*(us|µs|ms|s)?\\s*";
const ID = "\\s*[0-9a-fA-F]{1,32}\\s*";
const PLAIN = { autocomplete: "off", spellcheck: "false" };
const SAYS = {
  attribute: (text) => text,
  edge: (text) => text.split(">").join(" → "),
  since: (text) => new Date(Number(text) / 1e3).toLocaleString("en"),
};

/** The form. */
export class Filters {
  #change;
  #open;
  #params = new URLSearchParams();
  #chips = el("div", { class: "chips", hidden: true });
  #clear = el(
    "button",
    { type: "button", class: "small", click: () => this.#change(new URLSearchParams()) },
    "clear all",
  );
  #count = el("span", { class: "badge", hidden: true });
  #complaint = el("p", { class: "complaint", role: "alert", hidden: true });
  #fields;

  /**
   * `change(params)` is called with the parameters that are wanted, and `open(id, span)` where
   * what was typed or pasted is a whole trace id.
   */
  constructor({ change, open }) {
    this.#change = change;
    this.#open = open;
    this.#fields = this.#makeFields();
    const form = el(
      "form",
      {
        class: "filters",
        id: "filters",
        "aria-label": "Filters",
        submit: (event) => event.preventDefault(),
      },
      Object.entries({
        service: "Service",
        route: "Route",
        tenant: "Tenant",
        status: "Status",
        min: "At least",
        attribute: "Attribute",
        trace: "Trace id",
      }).map(([key, text]) =>
        el("label", { class: `field of-${key}` }, el("span", {}, text), this.#fields[key]),
      ),
    );
    const fold = el(
      "button",
      { type: "button", class: "fold", "aria-expanded": "false", "aria-controls": "filters" },
      "Filters ",
      this.#count,
    );
    fold.addEventListener("click", () =>
      fold.setAttribute("aria-expanded", String(form.classList.toggle("open"))),
    );
    this.element = el(
      "section",
      { class: "filtering", "aria-label": "Filters" },
      fold,
      form,
      this.#chips,
      this.#complaint,
    );
  }

  /** Shows what the address says, and what there is to choose from. */
  show(params, facets) {
    this.#params = params;
    const fields = this.#fields;
    const chosen = (key) => params.get(key) ?? "";
    for (const [key, names] of [
      ["service", facets.services],
      ["route", facets.routes],
      ["tenant", facets.tenants],
    ]) {
      options(fields[key], [["", "all"], ...names.map((name) => [name, name])], chosen(key));
    }
    options(fields.status, STATUS, chosen("status"));
    for (const key of ["min", "trace"]) {
      if (fields[key] !== document.activeElement) fields[key].value = chosen(key);
    }
    this.#showChips();
    this.#complaint.hidden = true;
  }

  /** Shows why the server does not take the filters. */
  refuse(sentence) {
    this.#complaint.textContent = sentence;
    this.#complaint.hidden = false;
  }

  #makeFields() {
    const choice = (key) =>
      el("select", { name: key, change: (event) => this.#set(key, event.target.value) });
    return {
      service: choice("service"),
      route: choice("route"),
      tenant: choice("tenant"),
      status: choice("status"),
      min: el("input", {
        ...PLAIN,
        name: "min",
        pattern: TIME,
        placeholder: "100ms",
        title: "A time such as 250us, 100ms or 1.5s",
        change: ({ target }) =>
          target.reportValidity() && this.#set("min", plainTime(target.value)),
      }),
      attribute: el("input", {
        ...PLAIN,
        name: "attribute",
        placeholder: "key=value",
        change: ({ target }) => this.#add(target),
        // Enter applies what is there even where the browser sees no change since the last time.
        keydown: (event) => event.key === "Enter" && this.#add(event.target),
      }),
      trace: el("input", {
        ...PLAIN,
        name: "trace",
        pattern: ID,
        placeholder: "paste an id to open it",
        title: "A trace id, or how it begins: up to 32 digits 0-9 a-f",
        input: ({ target }) => this.#openWhole(target),
        change: ({ target }) =>
          target.reportValidity() && this.#set("trace", target.value.trim().toLowerCase()),
      }),
    };
  }

  #set(key, text) {
    const wanted = new URLSearchParams(this.#params);
    wanted.delete(key);
    if (text) wanted.set(key, text);
    this.#change(wanted);
  }

  #add(input) {
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    const wanted = new URLSearchParams(this.#params);
    if (!wanted.getAll("attribute").includes(text)) wanted.append("attribute", text);
    this.#change(wanted);
  }

  #remove(key, text) {
    const wanted = new URLSearchParams(this.#params);
    wanted.delete(key, text);
    this.#change(wanted);
  }

  #openWhole(input) {
    const found = traceIn(input.value);
    if (!found) return;
    input.value = "";
    this.#open(found.id, found.span);
  }

  #showChips() {
    const active = [...this.#params].filter(([key, text]) => FILTERS.includes(key) && text);
    this.#count.textContent = String(active.length);
    this.#count.hidden = this.#chips.hidden = active.length === 0;
    const stamp = JSON.stringify(active);
    if (this.#chips.dataset.stamp === stamp) return;
    this.#chips.dataset.stamp = stamp;
    const made = active
      .filter(([key]) => key in SAYS)
      .map(([key, text]) => chip(key, text, () => this.#remove(key, text)));
    arrange(this.#chips, [...made, this.#clear]);
  }
}

function plainTime(text) {
  return text.replaceAll(/\s/g, "").replace("µ", "u");
}

function chip(key, text, remove) {
  const what = SAYS[key](text);
  return el(
    "span",
    { class: "chip" },
    el("b", {}, key === "edge" ? "call" : key),
    " ",
    what,
    el("button", { type: "button", "aria-label": `Remove ${key} ${what}`, click: remove }, "×"),
  );
}

/** Fills a list of choices, but never under a reader who has it in hand. */
function options(select, pairs, chosen) {
  const stamp = JSON.stringify(pairs);
  const isFree = select !== document.activeElement || select.options.length <= 1;
  if (select.dataset.stamp !== stamp && isFree) {
    select.replaceChildren(...pairs.map(([text, name]) => el("option", { value: text }, name)));
    select.dataset.stamp = stamp;
  }
  if (![...select.options].some((option) => option.value === chosen))
    select.append(el("option", { value: chosen }, chosen));
  if (select.value !== chosen) select.value = chosen;
}
