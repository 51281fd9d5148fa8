// A service as it is named everywhere: its colour beside its name.

import { serviceClass } from "./colors.js";
import { el } from "./dom.js";
import { count } from "./format.js";

/** A service by name. */
export function service(name, title = name) {
  return el("span", { class: `service ${serviceClass(name)}`, title }, swatch(), name);
}

/** The square of the colour, for an element that has the class of a service. */
export function swatch() {
  return el("i", { class: "swatch", "aria-hidden": "true" });
}

/** The first `most` of `all`, made by `make`, and how many more there are. */
export function some(all, most, make) {
  const rest = all.length - most;
  return [...all.slice(0, most).map(make), rest > 0 && el("span", {}, `+${count(rest)}`)];
}
