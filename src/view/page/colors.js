// A colour for each service, the same wherever and whenever it is shown. The colours themselves
// are in style.css, for both themes; they differ in lightness as well as in hue. They only ever
// help the eye: the name of the service always stands beside them.

const COLORS = 12;
const KEY = "spandrel.colours";
const MOST_GIVEN = 300;

const given = new Map(remembered());

/** The class that sets `--service` to the colour of a service. */
export function serviceClass(service) {
  if (!given.has(service) && given.size < MOST_GIVEN) {
    given.set(service, choose(service));
    remember();
  }
  return `service-${given.get(service) ?? hash(service) % COLORS}`;
}

/** Gives services their colours in an order that does not depend on who is seen first. */
export function introduce(services) {
  for (const service of [...services].sort()) serviceClass(service);
}

/** Of the colours that the fewest services have, the first from the one that the name asks for. */
function choose(service) {
  const holders = new Array(COLORS).fill(0);
  for (const color of given.values()) holders[color] += 1;
  const fewest = Math.min(...holders);
  const own = hash(service) % COLORS;
  const order = holders.map((_, step) => (own + step) % COLORS);
  return order.find((color) => holders[color] === fewest);
}

/** FNV-1a. */
function hash(text) {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    state = Math.imul(state ^ byte, 0x01000193);
  }
  return state >>> 0;
}

function remembered() {
  try {
    const pairs = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return pairs
      .slice(-MOST_GIVEN / 2)
      .filter(
        ([name, color]) =>
          typeof name === "string" && Number.isInteger(color) && color >= 0 && color < COLORS,
      );
  } catch {
    return [];
  }
}

function remember() {
  try {
    localStorage.setItem(KEY, JSON.stringify([...given]));
  } catch {
    // They hold for as long as the page is open.
  }
}
