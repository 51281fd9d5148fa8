// The origins of Node: `http` on one port, `http2` on another. The first line of standard input
// holds the answers by path; every request seen is told as a line; it ends with its input.

import http from "node:http";
import http2 from "node:http2";
import { grouped, message, numbered, pairs, tell, told } from "./makes.mjs";

const HOST = "127.0.0.1";
const input = told();
const answers = (await input.next()).value;
const acks = new Map();

function acked(scenario) {
  const { promise, resolve } = defer();
  const entry = acks.get(scenario) ?? { spare: 0, waiting: [] };
  acks.set(scenario, entry);
  if (entry.spare > 0) {
    entry.spare -= 1;
    resolve();
  } else {
    entry.waiting.push(resolve);
  }
  return promise;
}

function acknowledge(scenario) {
  const entry = acks.get(scenario) ?? { spare: 0, waiting: [] };
  acks.set(scenario, entry);
  const resolve = entry.waiting.shift();
  if (resolve) resolve();
  else entry.spare += 1;
}

function defer() {
  let resolve;
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}

const answerTo = (target) => answers[target.split("?")[0]] ?? answers["/404"];
const bodyOf = ({ base64, size }) => (base64 ? Buffer.from(base64, "base64") : numbered(size ?? 0));

async function take(stream) {
  const pieces = [];
  try {
    for await (const piece of stream) pieces.push(piece);
  } catch {
    return [Buffer.concat(pieces), "cut short"];
  }
  return [Buffer.concat(pieces), "whole"];
}

// Tells of a request once it and its answer are over.
function report(seen, answer, closed) {
  if (answer.end === "hang") closed.then(() => tell({ ...seen, ended: "left" }));
  else tell(seen);
}

async function answerHttp1(request, response) {
  const answer = answerTo(request.url);
  const closed = new Promise((resolve) => response.on("close", resolve));
  const [body, ended] = await take(request);
  const seen = {
    scenario: request.headers["x-scenario"],
    method: request.method,
    target: request.url,
    version: `HTTP/${request.httpVersion}`,
    headers: pairs(request.rawHeaders),
    body: message(body),
    trailers: pairs(request.rawTrailers),
    ended,
    peer: `${request.socket.remoteAddress}:${request.socket.remotePort}`,
  };
  if (request.url.startsWith("/ack")) acknowledge(seen.scenario);
  report(seen, answer, closed);
  if (answer.early) {
    await new Promise((sent) => response.writeEarlyHints(grouped(answer.early), sent));
  }
  const trailers = answer.trailers ?? [];
  const announced = trailers.map(([name]) => ["Trailer", name]);
  const length = answer.chunked || answer.events || answer.end ? [] : lengthOf(answer);
  response.writeHead(answer.status, [...answer.headers, ...announced, ...length].flat());
  if (request.method === "HEAD") return response.end();
  response.write(bodyOf(answer));
  for (let event = 1; event <= (answer.events ?? 0); event += 1) {
    await acked(seen.scenario);
    if (event < answer.events) response.write(bodyOf(answer));
  }
  if (answer.end === "break") return setImmediate(() => request.socket.end());
  if (answer.end === "hang") return undefined;
  if (trailers.length) response.addTrailers(trailers);
  return response.end();
}

function lengthOf(answer) {
  const hasNone = answer.status === 204 || answer.status === 304 || answer.trailers;
  return hasNone ? [] : [["Content-Length", String(bodyOf(answer).length)]];
}

// An unknown protocol, in which everything said comes back.
function upgrade(request, socket) {
  const answer = answerTo(request.url);
  const pieces = [];
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${answer.upgrade}\r\n\r\n`,
  );
  socket.on("data", (piece) => {
    pieces.push(piece);
    socket.write(piece);
  });
  socket.on("error", () => {});
  socket.on("end", () => {
    socket.end();
    tell({
      scenario: request.headers["x-scenario"],
      method: request.method,
      target: request.url,
      version: `HTTP/${request.httpVersion}`,
      headers: pairs(request.rawHeaders),
      body: message(Buffer.concat(pieces)),
      trailers: [],
      ended: "whole",
      peer: `${request.socket.remoteAddress}:${request.socket.remotePort}`,
    });
  });
}

async function answerHttp2(stream, headers, _flags, rawHeaders) {
  stream.on("error", () => {});
  const answer = answerTo(headers[":path"]);
  const closed = new Promise((resolve) => stream.on("close", resolve));
  const wanted = headers.expect === "100-continue";
  if (wanted) stream.additionalHeaders({ ":status": 100 });
  let trailersSeen = [];
  stream.on("trailers", (_headers, _flags, raw) => (trailersSeen = pairs(raw)));
  const [body, ended] = await take(stream);
  const seen = {
    scenario: headers["x-scenario"],
    method: headers[":method"],
    target: headers[":path"],
    version: "HTTP/2",
    headers: pairs(rawHeaders),
    body: message(body),
    trailers: trailersSeen,
    ended,
    peer: `${stream.session?.socket.remoteAddress}:${stream.session?.socket.remotePort}`,
  };
  if (headers[":path"].startsWith("/ack")) acknowledge(seen.scenario);
  report(seen, answer, closed.then(() => (seen.code = stream.rstCode)));
  if (stream.destroyed) return;
  if (answer.early) stream.additionalHeaders({ ":status": 103, ...grouped(answer.early) });
  const length = answer.chunked || answer.events || answer.end ? [] : lengthOf(answer);
  const head = { ":status": answer.status, ...grouped([...answer.headers, ...length]) };
  const trailers = answer.trailers ?? [];
  stream.respond(head, { waitForTrailers: trailers.length > 0 });
  stream.on("wantTrailers", () => stream.sendTrailers(grouped(trailers)));
  if (stream.headersSent && headers[":method"] === "HEAD") return;
  if (bodyOf(answer).length && stream.writable) stream.write(bodyOf(answer));
  for (let event = 1; event <= (answer.events ?? 0); event += 1) {
    await acked(seen.scenario);
    if (event < answer.events) stream.write(bodyOf(answer));
  }
  // To close a stream would be to end it; to destroy one is to reset it.
  if (answer.end === "break") setImmediate(() => stream.destroy(new Error("as asked")));
  else if (answer.end !== "hang") stream.end();
}

const listening = (server) =>
  new Promise((resolve) => server.listen(0, HOST, () => resolve(server.address().port)));

const one = http.createServer({ maxHeaderSize: 1 << 17 }, answerHttp1).on("upgrade", upgrade);
// httpx takes one stream at a time for all it may have, unless it is told a number.
const settings = { maxConcurrentStreams: 100 };
const two = http2.createServer({ settings }).on("stream", answerHttp2).on("sessionError", () => {});
tell({ http1: await listening(one), http2: await listening(two) });
await input.next();
process.exit();
