// Puts the page together: the view that the address names, the lens of one tenant over all views,
// and the look for news.
//
// A view is an object with `element`, `title`, `path()` (what to ask the server for), `show(body)`
// for an answer that is new, `fail(status, sentence)` for a refusal, and, where it wants them,
// `enter()` once it is in the page, `update(route)` for another address of the same view,
// `settle()` after each look, `close(hash)` when it is left, and `key(event)` for keys that
// nothing else takes.

import { get, Refusal } from "./api.js";
import { el } from "./dom.js";
import { GraphView } from "./graph.js";
import { HealthView } from "./health.js";
import { installKeys } from "./keys.js";
import { live } from "./live.js";
import { address, go, parse, traceIn } from "./route.js";
import { TenantsView } from "./tenants.js";
import { TracesView } from "./traces.js";
import { TraceView } from "./trace.js";

const VIEWS = {
  traces: TracesView,
  trace: TraceView,
  graph: GraphView,
  tenants: TenantsView,
  health: HealthView,
};

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const lens = document.getElementById("lens");
const liveButton = document.getElementById("live");

let here = { hash: "", kind: "", view: null };
let isFollowing = true;

const watch = live(async (signal) => {
  const { view } = here;
  const path = view.path();
  let body;
  try {
    body = await get(path, signal);
  } catch (error) {
    if (signal.aborted) return true;
    if (!(error instanceof Refusal)) return heard(false);
    view.seen = null;
    view.fail(error.status, error.message);
    return heard(true);
  }
  if (signal.aborted) return true;
  if (body !== view.seen || path !== view.seenPath) view.show(body);
  [view.seen, view.seenPath] = [body, path];
  view.settle?.();
  document.title = `${view.title} · spandrel`;
  return heard(true);
});

/** Says whether the server is there; gives that back. */
function heard(isThere) {
  banner.hidden = isThere;
  if (!isThere)
    banner.textContent =
      "No answer from spandrel view. What is shown is what it said last; asking again …";
  document.body.classList.toggle("gone", !isThere);
  return isThere;
}

/** Shows what the address names. */
function arrive() {
  const route = parse(location.hash);
  const kind = `${route.view}/${route.id}`;
  showLens(route);
  if (here.kind === kind && here.view.update) {
    here.hash = location.hash;
    here.view.update(route);
  } else {
    const isFirst = !here.view;
    here.view?.close?.(here.hash);
    here = { hash: location.hash, kind, view: new VIEWS[route.view](route) };
    main.replaceChildren(here.view.element);
    scrollTo(0, 0);
    here.view.enter?.();
    if (!isFirst) main.focus({ preventScroll: true });
  }
  document.title = `${here.view.title} · spandrel`;
  watch.restart();
}

/** The chip of the chosen tenant, and the links between the views, which keep it. */
function showLens(route) {
  const tenant = route.params.get("tenant");
  for (const link of document.querySelectorAll("nav.views a")) {
    const { view } = link.dataset;
    link.href = address(view, { params: { tenant } });
    const isHere = view === route.view || (view === "traces" && route.view === "trace");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("brand").href = address("traces", { params: { tenant } });
  lens.hidden = !tenant;
  lens.replaceChildren(
    ...(tenant
      ? [
          el("span", {}, "tenant ", el("b", {}, tenant)),
          el(
            "button",
            {
              type: "button",
              "aria-label": `Look at all tenants, not only ${tenant}`,
              click: removeLens,
            },
            "×",
          ),
        ]
      : []),
  );
}

function removeLens() {
  const route = parse(location.hash);
  route.params.delete("tenant");
  main.focus({ preventScroll: true });
  go(address(route.view, route));
}

liveButton.addEventListener("click", () => {
  isFollowing = !isFollowing;
  liveButton.setAttribute("aria-pressed", String(isFollowing));
  liveButton.querySelector("span").textContent = isFollowing ? "Live" : "Paused";
  watch.follow(isFollowing);
});

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

// A trace id that is pasted anywhere but into a field opens its trace.
document.addEventListener("paste", (event) => {
  if (event.target.closest?.("input, textarea")) return;
  const found = traceIn(event.clipboardData?.getData("text") ?? "");
  if (found)
    go(
      address("trace", {
        id: found.id,
        params: { span: found.span, tenant: parse(location.hash).params.get("tenant") },
      }),
    );
});

history.scrollRestoration = "manual";
addEventListener("hashchange", arrive);
installKeys((event) => here.view?.key?.(event));
arrive();
