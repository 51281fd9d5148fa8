// The keys of the page, and the card that lists them.

import { el } from "./dom.js";

const KEYS = [
  [
    "Anywhere",
    [
      ["?", "these keys"],
      ["paste", "opens the trace whose id is pasted"],
    ],
  ],
  [
    "In the plot",
    [
      ["← →", "the trace before, the one after"],
      ["↑ ↓", "the next longer, the next shorter"],
      ["Enter", "opens it"],
    ],
  ],
  [
    "In a trace",
    [
      ["↑ ↓", "the span above, the one below"],
      ["← →", "closes and opens what is below a span"],
      ["Home End", "the first span, the last"],
      ["Enter", "shows the details of the span"],
      ["Esc", "puts the details away"],
      ["b", "follows the bottleneck"],
      ["e", "the next span with an error"],
      ["z", "zooms in on the span; again, out"],
    ],
  ],
];

/** Listens for keys that no field takes; those that are not for the page go to `pass`. */
export function installKeys(pass) {
  const dialog = document.getElementById("keys-dialog");
  dialog.append(
    el("h2", { id: "keys-title" }, "Keys"),
    ...KEYS.map(([where, keys]) => [
      el("h3", {}, where),
      el(
        "dl",
        {},
        keys.map(([key, what]) =>
          el(
            "div",
            {},
            el(
              "dt",
              {},
              key.split(" ").map((one) => el("kbd", {}, one)),
            ),
            el("dd", {}, what),
          ),
        ),
      ),
    ]).flat(),
    el("form", { method: "dialog" }, el("button", {}, "Close")),
  );
  document.getElementById("keys").addEventListener("click", () => dialog.showModal());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialog.open)
      return;
    if (event.target.closest?.("input, select, textarea")) return;
    if (event.key === "?") dialog.showModal();
    else pass(event);
  });
}
