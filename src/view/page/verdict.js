// The verdict on a trace in words, with the ways from the words to the spans they speak of.

import { el, place } from "./dom.js";
import { count, duration, share } from "./format.js";
import { serviceClass } from "./colors.js";

const KINDS = {
  serial: "one by one",
  parallel: "side by side",
  repeated: "repeated",
  retry: "retry",
  skew: "clocks",
  missing: "missing",
  untraced: "not traced",
  errors: "errors",
};

/**
 * The verdict; `follow(span)` goes to the bottleneck, and `jump(span, spans)` to one of the spans
 * that a note is about.
 */
export function verdictCard(verdict, trace, { follow, jump }) {
  if (!verdict)
    return el(
      "section",
      { class: "verdict", "aria-label": "Verdict" },
      el("p", { class: "headline none" }, "No single hop stands out."),
    );
  return el(
    "section",
    { class: "verdict", "aria-label": "Verdict" },
    el(
      "div",
      { class: "saying" },
      el("h2", {}, words(verdict.headline)),
      part(verdict, trace),
      el(
        "button",
        {
          type: "button",
          class: "follow",
          title: "Go to the span (b)",
          click: () => follow(verdict.span),
        },
        verdict.is_bottleneck ? "Follow the bottleneck" : "Show the largest part",
      ),
    ),
    verdict.notes.length > 0 &&
      el(
        "ul",
        { class: "notes" },
        verdict.notes.map((note) => item(note, jump)),
      ),
  );
}

/** A sentence with its `names` set apart, and its numbers kept beside their units. */
function words(sentence) {
  const kept = sentence.replace(/(\d) (?=(?:µs|ms|s|min|h|%)(?!\w))/g, "$1\u00a0");
  return kept.split(/`([^`]*)`/).map((piece, at) => (at % 2 ? el("q", {}, piece) : piece));
}

/** How much of the trace the bottleneck is, drawn. */
function part(verdict, trace) {
  const fill = place(
    el("i", { class: serviceClass(verdict.service) }),
    0,
    Math.min(Math.max(verdict.share, 0), 1),
  );
  return el(
    "div",
    { class: "part" },
    el("span", { class: "track", "aria-hidden": "true" }, fill),
    el(
      "span",
      {},
      `${duration(verdict.time_us)} of ${duration(trace.duration_us)}, ${share(verdict.share)}, in ${verdict.service}`,
    ),
  );
}

function item(note, jump) {
  const isKnown = Object.hasOwn(KINDS, note.kind);
  return el(
    "li",
    { class: `note${isKnown ? ` ${note.kind}` : ""}` },
    el("span", { class: "label" }, isKnown ? KINDS[note.kind] : note.kind),
    el("span", { class: "text" }, words(note.text)),
    note.spans.length > 0 && step(note, jump),
  );
}

/** A button that goes from one span of the note to the next. */
function step(note, jump) {
  let next = 0;
  const total = note.spans.length;
  const says = () => (total === 1 ? "show" : `show ${count(next + 1)} of ${count(total)}`);
  const button = el("button", { type: "button", class: "small" }, says());
  button.addEventListener("click", () => {
    jump(note.spans[next], note.spans);
    next = (next + 1) % total;
    button.textContent = says();
  });
  return button;
}
