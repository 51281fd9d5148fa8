// What the origins and clients of Node share: see tests/peers/support/makes.

import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

const MOST_TEXT = 2048;

export const tell = (told) => process.stdout.write(`${JSON.stringify(told)}\n`);

// The lines of standard input, each of them JSON.
export async function* told() {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    yield JSON.parse(line);
  }
}

// [name, value, name, value] as pairs.
export function pairs(raw) {
  const lines = [];
  for (let i = 0; i + 1 < raw.length; i += 2) lines.push([raw[i], raw[i + 1]]);
  return lines;
}

// A body in short: its text as Latin-1 while it is short, else its length and hash.
export function message(body) {
  const sha256 = createHash("sha256").update(body).digest("hex");
  const short = body.length <= MOST_TEXT ? { text: body.toString("latin1") } : {};
  return { ...short, length: body.length, sha256 };
}

const bodies = new Map();

// A body of a length that no part of it repeats: numbers of seven digits, each on a line.
export function numbered(length) {
  if (!bodies.has(length)) bodies.set(length, lineUp(length));
  return bodies.get(length);
}

function lineUp(length) {
  const lines = [];
  for (let number = 0; number * 8 < length; number += 1) {
    lines.push(String(number).padStart(7, "0"), "\n");
  }
  return Buffer.from(lines.join("")).subarray(0, length);
}

// Header lines as the object that HTTP/2 of Node wants, with repeats as arrays.
export function grouped(lines) {
  const headers = {};
  for (const [name, value] of lines) {
    const key = name.toLowerCase();
    headers[key] = key in headers ? [headers[key], value].flat() : value;
  }
  return headers;
}
