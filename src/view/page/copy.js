// Buttons that copy a text to the clipboard, and say so.

import { el } from "./dom.js";

const SAID_MS = 1_500;

/** A button that copies what `text()` gives; `label` says what it is. */
export function copyButton(label, text, title = `Copy ${label}`) {
  const button = el("button", { type: "button", class: "small", title }, label);
  button.addEventListener("click", async () => {
    const isDone = await copy(text());
    button.textContent = isDone ? "copied" : "not allowed";
    setTimeout(() => {
      button.textContent = label;
    }, SAID_MS);
  });
  return button;
}

/** Copies; the old way where the page is not on loopback and the new one is therefore refused. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const area = el("textarea", { class: "away", readonly: true, "aria-hidden": "true" });
  const focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return isDone;
}
