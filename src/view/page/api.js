// Asks the server for JSON. What was read is asked for again by its ETag, so that a look at what
// has not changed costs nothing.

const MOST_KEPT = 8;
const PATIENCE_MS = 15_000;

const kept = new Map();

/** The server has said no: `status` and its sentence. */
export class Refusal extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

/**
 * The JSON at `path`, the very same object as long as the server says that nothing changed.
 * Throws a `Refusal`, or whatever `fetch` throws where there is no answer.
 */
export async function get(path, signal) {
  const before = kept.get(path);
  const headers = before ? { "if-none-match": before.tag } : {};
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch(path, {
    headers,
    cache: "no-store",
    credentials: "omit",
    signal: signal ? AbortSignal.any([signal, patience]) : patience,
  });
  if (response.status === 304 && before) return before.body;
  if (!response.ok) throw new Refusal(response.status, await sentence(response));
  const body = await response.json();
  keep(path, response.headers.get("etag"), body);
  return body;
}

async function sentence(response) {
  try {
    return String((await response.json()).error);
  } catch {
    return `The server answers with status ${response.status}.`;
  }
}

/** Keeps the newest few. */
function keep(path, tag, body) {
  kept.delete(path);
  if (tag) kept.set(path, { tag, body });
  while (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
}
