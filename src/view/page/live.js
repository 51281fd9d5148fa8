// Looks again every two seconds, unless the page is hidden or the reader has stopped it; where the
// server is gone, less often, for as long as it takes.

const PERIOD_MS = 2_000;
const LONGEST_MS = 10_000;

/**
 * Calls `look(signal)` at once on `restart` and then again and again. `look` resolves to whether
 * the server answered.
 */
export function live(look) {
  let timer = 0;
  let current = null;
  let failures = 0;
  let isStopped = false;

  function wait() {
    clearTimeout(timer);
    if (isStopped || document.hidden) return;
    timer = setTimeout(tick, Math.min(PERIOD_MS * 2 ** failures, LONGEST_MS));
  }

  async function tick() {
    clearTimeout(timer);
    current?.abort();
    const mine = new AbortController();
    current = mine;
    try {
      const hasAnswered = await look(mine.signal);
      if (!mine.signal.aborted) failures = hasAnswered ? 0 : failures + 1;
    } finally {
      if (!mine.signal.aborted) wait();
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (!isStopped) tick();
  });

  return {
    /** Looks now, whatever was going on. */
    restart: tick,
    /** Whether to look again by itself. */
    follow(isWanted) {
      isStopped = !isWanted;
      if (isWanted) tick();
      else clearTimeout(timer);
    },
  };
}
