// The waterfall: the spans of a trace as a tree beside their bars in time. Of many spans only the
// rows in sight are elements, so that thousands cost no more than a screenful. The tree is one
// stop of the Tab key, and one span in it is current.

import { el } from "./dom.js";
import { SpanRow } from "./spanrow.js";
import { Timescale } from "./timescale.js";
import { extent, seen, startOf, treeOf } from "./tree.js";

const ALL_AT_ONCE = 300;
const BEYOND_SIGHT = 12;
const PAGE_ROWS = 15;
const AIR = 0.02;
const NARROW_PX = 600;
const INDENT_PX = { narrow: 8, wide: 13 };
const EDGE_PX = 8;

/** The waterfall. */
export class Waterfall {
  #choose;
  #move;
  #covered;
  #trace = null;
  #tree = { nodes: [], byId: new Map() };
  #rows = [];
  #drawn = new Map();
  #closed = new Set();
  #marked = new Set();
  #whole = { from: 0, to: 1 };
  #zoom = null;
  #isAligned = true;
  #current = "";
  #height = 28;
  #isPlanned = false;
  #scale = new Timescale();
  #list;
  #sizes = new ResizeObserver(() => this.#relay());
  #onScroll = () => this.#plan();

  /**
   * `choose(id)` is called where the reader wants the details of a span, `move(id)` where another
   * one became current, and `covered()` says how much of the bottom of the screen is covered.
   */
  constructor({ choose, move, covered }) {
    this.#choose = choose;
    this.#move = move;
    this.#covered = covered;
    this.#list = el("div", {
      class: "spans",
      role: "tree",
      tabindex: 0,
      "aria-label": "Spans",
      click: (event) => this.#click(event),
      keydown: (event) => this.#press(event),
      focus: () => !this.#current && this.#rows.length && this.point(this.#rows[0].span.id),
    });
    this.element = el(
      "div",
      { class: "waterfall" },
      this.#scale.ruler,
      el("div", { class: "sheet" }, this.#scale.grid, this.#list),
    );
    addEventListener("scroll", this.#onScroll, { passive: true });
    this.#sizes.observe(this.element);
  }

  /**
   * Shows a trace, or more of the same one. What this gives is to be called once the page around
   * it has changed too: it brings back to its place what was looked at.
   */
  show(trace) {
    const isAtWork = scrollY > 0 || this.#current;
    const before = this.#trace && isAtWork ? this.#anchor() : null;
    this.#trace = trace;
    this.#tree = treeOf(trace);
    this.#whole = extent(this.#tree, this.#isAligned);
    this.#rows = seen(this.#tree, this.#closed);
    this.#relay();
    return () => {
      const at = before ? this.#numberOf(before.id) : -1;
      if (at >= 0) scrollBy(0, this.#topOf(at) - before.top);
      this.#draw();
    };
  }

  /** The node of a span in the tree, if it is there. */
  node(id) {
    return this.#tree.byId.get(id);
  }

  /** The next span with an error after the current one, round and round. */
  nextError() {
    const at = this.node(this.#current)?.at ?? -1;
    const { nodes } = this.#tree;
    return [...nodes.slice(at + 1), ...nodes.slice(0, at + 1)].find(
      ({ span }) => span.status === "error",
    )?.span.id;
  }

  /** Makes a span the current one. */
  point(id) {
    this.#current = id;
    for (const [drawnId, row] of this.#drawn) row.setCurrent(drawnId === id);
    this.#tellCurrent();
  }

  /** Opens what hides a span, and makes it current and seen; gives whether it is there. */
  reveal(id) {
    const node = this.node(id);
    if (!node) return false;
    for (let up = node.parent; up; up = up.parent) this.#closed.delete(up.span.id);
    const { from, to } = this.#window();
    const start = startOf(node.span, this.#isAligned);
    if (start + node.span.duration_us < from || start > to) this.#zoom = null;
    this.#current = id;
    this.#rows = seen(this.#tree, this.#closed);
    this.#relay();
    this.#bringIntoSight(id);
    return true;
  }

  /** Marks some spans, and no others. */
  mark(ids) {
    this.#marked = new Set(ids);
    this.#draw();
  }

  /** Takes the times with the clocks aligned, or as they were recorded. */
  align(isAligned) {
    this.#isAligned = isAligned;
    this.#zoom = null;
    this.#whole = extent(this.#tree, isAligned);
    this.#relay();
  }

  /** Zooms to the current span, or out again; gives whether it is in now. */
  zoom() {
    const node = this.node(this.#current);
    if (this.#zoom || !node) this.#zoom = null;
    else {
      const from = startOf(node.span, this.#isAligned);
      const length = Math.max(node.span.duration_us, 1);
      this.#zoom = { from: from - length * AIR, to: from + length * (1 + AIR) };
    }
    this.#relay();
    return Boolean(this.#zoom);
  }

  /** Closes all but what is directly below the roots, or opens everything. */
  foldAll(isClosed) {
    this.#closed.clear();
    if (isClosed) {
      for (const { span, children } of this.#tree.nodes)
        if (children.length && span.depth > 0) this.#closed.add(span.id);
    }
    this.#refold();
  }

  focus() {
    this.#list.focus({ preventScroll: true });
  }

  close() {
    removeEventListener("scroll", this.#onScroll);
    this.#sizes.disconnect();
  }

  #click(event) {
    const id = event.target.closest("[data-span]")?.dataset.span;
    if (!id || !getSelection().isCollapsed) return;
    if (event.target.closest(".caret:not(.none)")) return this.#fold(id, !this.#closed.has(id));
    this.point(id);
    this.#choose(id);
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.#numberOf(this.#current);
    const last = this.#rows.length - 1;
    const to = {
      ArrowDown: Math.min(at + 1, last),
      ArrowUp: Math.max(at - 1, 0),
      Home: 0,
      End: last,
      PageDown: Math.min(at + PAGE_ROWS, last),
      PageUp: Math.max(at - PAGE_ROWS, 0),
    }[event.key];
    if (to !== undefined) this.#moveTo(this.#rows[to]);
    else if (event.key === "Enter" || event.key === " ") this.#choose(this.#current);
    else if (event.key === "ArrowRight") this.#inward(this.#rows[at]);
    else if (event.key === "ArrowLeft") this.#outward(this.#rows[at]);
    else return;
    event.preventDefault();
  }

  #inward(node) {
    if (!node?.children.length) return;
    if (this.#closed.has(node.span.id)) this.#fold(node.span.id, false);
    else this.#moveTo(node.children[0]);
  }

  #outward(node) {
    if (node?.children.length && !this.#closed.has(node.span.id)) this.#fold(node.span.id, true);
    else this.#moveTo(node?.parent);
  }

  #moveTo(node) {
    if (!node) return;
    this.point(node.span.id);
    this.#bringIntoSight(node.span.id);
    this.#move(node.span.id);
  }

  #fold(id, isClosed) {
    if (isClosed) this.#closed.add(id);
    else this.#closed.delete(id);
    this.#refold();
  }

  /** Finds the rows anew; where the current one went out of sight, what hides it is current. */
  #refold() {
    this.#rows = seen(this.#tree, this.#closed);
    let hiding = null;
    for (let up = this.node(this.#current)?.parent; up; up = up.parent)
      if (this.#closed.has(up.span.id)) hiding = up;
    if (hiding) this.#current = hiding.span.id;
    this.#redraw();
  }

  #window() {
    return this.#zoom ?? this.#whole;
  }

  /** Takes up what the width of the page and the window of time decide, and draws all anew. */
  #relay() {
    const row = Number.parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    if (row > 0) this.#height = row;
    this.#scale.show(this.#window());
    this.#redraw();
  }

  #redraw() {
    this.#drawn.clear();
    this.#list.replaceChildren();
    this.#draw();
  }

  #plan() {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    requestAnimationFrame(() => {
      this.#isPlanned = false;
      this.#draw();
    });
  }

  #draw() {
    this.#list.style.height = `${this.#rows.length * this.#height}px`;
    const [first, last] = this.#sight();
    const wanted = new Map();
    for (let at = first; at < last; at += 1) {
      const { id } = this.#rows[at].span;
      const row = this.#drawn.get(id) ?? this.#add(this.#rows[at]);
      row.setPlace(at * this.#height);
      row.setCurrent(id === this.#current);
      row.setMarked(this.#marked.has(id));
      wanted.set(id, row);
    }
    for (const [id, row] of this.#drawn) if (!wanted.has(id)) row.element.remove();
    this.#drawn = wanted;
    this.#tellCurrent();
  }

  #add(node) {
    const { from, to } = this.#window();
    const row = new SpanRow(node, {
      from,
      to,
      isAligned: this.#isAligned,
      isClosed: this.#closed.has(node.span.id),
      began: this.#trace.start_us,
      indent: this.element.clientWidth < NARROW_PX ? INDENT_PX.narrow : INDENT_PX.wide,
    });
    this.#list.append(row.element);
    return row;
  }

  /** The numbers of the first row that must be there, and of the first that need not be any more. */
  #sight() {
    const all = this.#rows.length;
    if (all <= ALL_AT_ONCE) return [0, all];
    const top = -this.#list.getBoundingClientRect().top / this.#height;
    const inside = (at) => Math.min(Math.max(at, 0), all);
    return [
      inside(Math.floor(top) - BEYOND_SIGHT),
      inside(Math.ceil(top + innerHeight / this.#height) + BEYOND_SIGHT),
    ];
  }

  #tellCurrent() {
    const row = this.#drawn.get(this.#current);
    if (row) this.#list.setAttribute("aria-activedescendant", row.element.id);
    else this.#list.removeAttribute("aria-activedescendant");
  }

  #numberOf(id) {
    return this.#rows.findIndex((node) => node.span.id === id);
  }

  /** Where a row is on the screen. */
  #topOf(at) {
    return this.#list.getBoundingClientRect().top + at * this.#height;
  }

  #bringIntoSight(id) {
    const top = this.#topOf(this.#numberOf(id));
    const roof = this.#scale.ruler.offsetHeight + EDGE_PX;
    const floor = innerHeight - this.#covered() - this.#height - EDGE_PX;
    if (top < roof) scrollBy(0, top - roof - this.#height);
    else if (top > floor) scrollBy(0, top - floor + this.#height);
    this.#draw();
  }

  /** What stays where it is while the rows change: the current one, or the first in sight. */
  #anchor() {
    const own = this.#numberOf(this.#current);
    const isSeen = own >= 0 && this.#topOf(own) > 0 && this.#topOf(own) < innerHeight;
    const at = isSeen ? own : Math.max(Math.ceil(-this.#topOf(0) / this.#height), 0);
    return this.#rows[at] && { id: this.#rows[at].span.id, top: this.#topOf(at) };
  }
}
