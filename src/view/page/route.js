// Where the reader is, as the part of the address after `#`: a view, for a trace its id, and
// parameters. Everything that a link should carry to a colleague is in it.

export const VIEWS = ["traces", "trace", "graph", "tenants", "health"];

/** The parameters that the server knows as filters. */
export const FILTERS = [
  "service",
  "route",
  "tenant",
  "status",
  "min",
  "attribute",
  "trace",
  "edge",
  "since",
];

/** Reads an address; what is not understood is the list of traces. */
export function parse(hash) {
  const [path, query = ""] = split(hash.replace(/^#\/?/, ""), "?");
  const [view, id = ""] = split(path, "/");
  const params = new URLSearchParams(query);
  if (!VIEWS.includes(view)) return { view: "traces", id: "", params };
  return { view, id: decode(id), params };
}

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view. `params` is a mapping or URLSearchParams; what is empty is left out. */
export function address(view, { id = "", params = {} } = {}) {
  const entries = params instanceof URLSearchParams ? [...params] : Object.entries(params);
  const query = new URLSearchParams(entries.filter(([, text]) => text));
  const path = id ? `#/${view}/${encodeURIComponent(id)}` : `#/${view}`;
  return query.size ? `${path}?${query}` : path;
}

/** The filters among `params` as a query of the API. */
export function apiQuery(params, more = {}) {
  const query = new URLSearchParams(
    [...params].filter(([key, text]) => FILTERS.includes(key) && text),
  );
  for (const [key, text] of Object.entries(more)) query.set(key, text);
  return query.size ? `?${query}` : "";
}

/** The trace, and the span if there is one, that a pasted text names: an id or a traceparent. */
export function traceIn(text) {
  const found = /(?:^|[^0-9a-f])([0-9a-f]{32})(?:-([0-9a-f]{16}))?(?![0-9a-f])/i.exec(text.trim());
  return found && { id: found[1].toLowerCase(), span: found[2]?.toLowerCase() ?? "" };
}

/** Goes to an address. */
export function go(to) {
  location.hash = to;
}

/** Changes the address without a step in the history. */
export function note(to) {
  history.replaceState(null, "", to);
}

let list = address("traces");

/** Remembers the list that the reader leaves, filters and all. */
export function rememberList(hash) {
  list = hash || list;
}

/** The way back to it. */
export function lastList() {
  return list;
}
