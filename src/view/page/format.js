// Numbers and times as people read them. All pure.

const NUMBER = new Intl.NumberFormat("en");
const SPACE = "\u00a0";

/** A whole number with its thousands apart. */
export function count(number) {
  return NUMBER.format(number);
}

/** A number and what it counts, in the singular where it is one. */
export function many(number, one, more = `${one}s`) {
  return `${count(number)}${SPACE}${number === 1 ? one : more}`;
}

/** Three digits that count. */
function digits(number) {
  const places = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;
  const text = number.toFixed(places);
  return places ? text.replace(/\.?0+$/, "") : text;
}

/** A time span in microseconds. */
export function duration(us) {
  if (!Number.isFinite(us)) return "–";
  const sign = us < 0 ? "−" : "";
  const size = Math.abs(us);
  if (size < 999.5) return `${sign}${digits(size)}${SPACE}µs`;
  if (size < 999_500) return `${sign}${digits(size / 1e3)}${SPACE}ms`;
  if (size < 119.5e6) return `${sign}${digits(size / 1e6)}${SPACE}s`;
  if (size < 7.2e9) return `${sign}${Math.round(size / 60e6)}${SPACE}min`;
  return `${sign}${digits(size / 3600e6)}${SPACE}h`;
}

/** A time before or after another, which `what` names. */
export function offset(us, what) {
  return us < 0 ? `${duration(-us)} before ${what}` : `${duration(us)} after ${what}`;
}

/** A share from 0 to 1. */
export function share(part) {
  if (!Number.isFinite(part)) return "–";
  if (part > 0 && part < 0.001) return `<0.1${SPACE}%`;
  return `${digits(part * 100)}${SPACE}%`;
}

/** An amount of memory. */
export function bytes(number) {
  for (const [unit, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ]) {
    if (number >= size) return `${digits(number / size)}${SPACE}${unit}`;
  }
  return many(number, "byte");
}

/** Calls per second. */
export function rate(perSecond) {
  if (perSecond > 0 && perSecond < 0.01) return `<0.01/s`;
  return `${digits(perSecond)}/s`;
}

/** The time of day of microseconds since the epoch, to the millisecond, with the date if not today. */
export function clock(us) {
  const when = new Date(us / 1e3);
  if (Number.isNaN(when.getTime())) return "–";
  const time = `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  const exact = `${time}.${String(when.getMilliseconds()).padStart(3, "0")}`;
  const isToday = when.toDateString() === new Date().toDateString();
  return isToday ? exact : `${day(when)} ${exact}`;
}

function day(when) {
  return `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
}

function two(number) {
  return String(number).padStart(2, "0");
}

/** The exact time of microseconds since the epoch, in UTC. */
export function exactly(us) {
  const when = new Date(us / 1e3);
  return Number.isNaN(when.getTime()) ? "–" : when.toISOString();
}

/** How long ago, in words that need no change every second. */
export function ago(us) {
  if (us < 10e6) return "just now";
  if (us < 60e6) return "less than a minute ago";
  if (us < 3600e6) return `${Math.floor(us / 60e6)}${SPACE}min ago`;
  if (us < 86_400e6) return `${Math.floor(us / 3600e6)}${SPACE}h ago`;
  return `${many(Math.floor(us / 86_400e6), "day")} ago`;
}

/** The value of an attribute as text. */
export function value(given) {
  return typeof given === "string" ? given : JSON.stringify(given);
}
