// Builds elements. What comes from outside becomes a text node or the value of an attribute, never
// markup, so that no name of a span can become part of the page.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; see `fill` for `properties`. Children are nodes, texts, arrays, or nothing. */
export function el(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An SVG element. */
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/**
 * Sets `properties`: functions are listeners by the name of their event, `data` is a mapping,
 * true is an attribute without a value, and what is null or false is left out.
 */
function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child);
  }
}

/** Puts an element at a place along a line, in shares of its length. */
export function place(element, from, to) {
  element.style.left = `${percent(from)}%`;
  element.style.width = `${percent(to - from)}%`;
  return element;
}

function percent(share) {
  return Math.round(share * 1e6) / 1e4;
}

/** Sets a text without touching the page where it is the same already. */
export function retext(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Brings the children of `parent` into the order of `wanted`, moving only those that are out of
 * place: an element that stays keeps its focus and its selection.
 */
export function arrange(parent, wanted) {
  const kept = new Set(wanted);
  for (const child of [...parent.childNodes]) {
    if (!kept.has(child)) child.remove();
  }
  let next = parent.firstChild;
  for (const child of wanted) {
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
}

/**
 * Makes `now` say what `next` says, and keeps the elements that are there, and with them focus,
 * selection and what is folded open. Children with the same `data-key` are the same child. What
 * listens on the elements of `next` is lost.
 */
export function become(now, next) {
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const { name } of [...now.attributes]) {
    if (name !== "open" && !next.hasAttribute(name)) now.removeAttribute(name);
  }
  const old = [...now.childNodes];
  const keyed = new Map(old.filter(key).map((child) => [key(child), child]));
  const wanted = [...next.childNodes].map((child, at) => {
    const same = key(child) ? keyed.get(key(child)) : key(old[at]) ? null : old[at];
    if (same?.nodeName !== child.nodeName) return child;
    if (child instanceof Element) become(same, child);
    else if (same.data !== child.data) same.data = child.data;
    return same;
  });
  arrange(now, wanted);
}

function key(node) {
  return node?.dataset?.key;
}

/** Whether the reader is at work in `element`: points at it, has focus or selected text in it. */
export function isInHand(element) {
  const hovers = matchMedia("(hover: hover)").matches && element.matches(":hover");
  const selection = getSelection();
  const selects = !selection.isCollapsed && element.contains(selection.anchorNode);
  return hovers || selects || element.contains(document.activeElement);
}
