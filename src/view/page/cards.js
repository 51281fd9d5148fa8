// Tables that turn into cards where the page is narrow, and that change in place.

import { become, el } from "./dom.js";

/**
 * A table. Each of `columns` has a `name`, whether it `isNumber`, and `cell(row)` for its content;
 * the first is the head of the row. `key(row)` tells rows apart.
 */
export class Cards {
  #columns;
  #key;
  #body = el("tbody");

  constructor(caption, columns, { key, isCaptionShown = false }) {
    this.#columns = columns;
    this.#key = key;
    const heads = columns.map(({ name, isNumber }) =>
      el("th", { scope: "col", class: isNumber ? "number" : null }, name),
    );
    this.element = el(
      "table",
      { class: "cards" },
      el("caption", { class: isCaptionShown ? null : "away" }, caption),
      el("thead", {}, el("tr", {}, heads)),
      this.#body,
    );
  }

  /** Shows these; `more(row)` may give a line that goes below one, `look(row)` the class of one. */
  show(rows, { more = () => null, look = () => null } = {}) {
    const made = rows.flatMap((row) => {
      const key = this.#key(row);
      const extra = more(row);
      const line = el(
        "tr",
        { class: look(row), data: { key } },
        this.#columns.map((column, at) => cell(column, at, row)),
      );
      return extra
        ? [
            line,
            el(
              "tr",
              { class: "below", data: { key: `${key}\nmore` } },
              el("td", { colspan: this.#columns.length }, extra),
            ),
          ]
        : [line];
    });
    become(this.#body, el("tbody", {}, made));
  }
}

function cell({ name, isNumber, cell: content }, at, row) {
  if (at === 0) return el("th", { scope: "row" }, content(row));
  return el("td", { class: isNumber ? "number" : null, data: { label: name } }, content(row));
}

/** A text in the colour of what is bad, if it is. */
export function bad(isBad, content) {
  return isBad ? el("span", { class: "bad" }, content) : content;
}
