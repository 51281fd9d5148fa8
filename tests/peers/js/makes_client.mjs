// The clients of Node: `http`, `fetch`, `http2`. Every line of standard input is a batch of
// scenarios; its results are told as a line; it ends with its input.

import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { grouped, message, numbered, pairs, tell, told } from "./makes.mjs";

const DEADLINE = 20_000;
const CLIENTS = { node: nodeHttp, fetch: nodeFetch, node2: nodeHttp2 };

const nothing = () => ({ interim: [], reason: "", version: "", headers: [], trailers: [] });
const plain = (error) =>
  `${error.code ?? error.name}: ${error.message}`.replace(/127\S+/g, "there");

// Reads a body; where asked to, acknowledges every event before it reads on.
async function read(asked, body, acknowledge) {
  const pieces = [];
  for await (const piece of body) {
    pieces.push(Buffer.from(piece));
    const events = piece.length ? Buffer.from(piece).toString().split("\n\n").length - 1 : 0;
    for (let event = 0; asked.ack && event < events; event += 1) await acknowledge();
    if (asked.stop) break;
  }
  return Buffer.concat(pieces);
}

const acknowledgement = (asked) => ({ method: "GET", path: "/ack", headers: asked.headers });

// ---- http

function nodeHttp({ base, proxy }) {
  const agent = new http.Agent({ keepAlive: true });
  const { host } = new URL(base);
  const [hostname, port] = (proxy || host).split(":");

  function exchange(asked) {
    return new Promise((resolve) => {
      const result = nothing();
      const body = asked.size == null ? null : numbered(asked.size);
      const headers = [["Host", host], ...asked.headers, ...framing(asked)];
      const path = proxy ? `${base}${asked.path}` : asked.path;
      const { method } = asked;
      const how = { hostname, port, agent, path, method, headers, timeout: DEADLINE };
      const request = http.request(how);
      const fail = (error) => resolve({ ...result, error: plain(error) });
      request.on("timeout", () => request.destroy(new Error("nothing came")));
      request.on("error", fail);
      request.on("information", ({ statusCode, rawHeaders }) =>
        result.interim.push({ status: statusCode, headers: pairs(rawHeaders) }));
      const answered = (response) => Object.assign(result, {
        status: response.statusCode,
        reason: response.statusMessage,
        version: `HTTP/${response.httpVersion}`,
        headers: pairs(response.rawHeaders),
      });
      request.on("upgrade", (response, socket) => {
        answered(response);
        converse(socket, body).then((heard) => resolve({ ...result, body: message(heard) }), fail);
      });
      request.on("response", async (response) => {
        answered(response);
        try {
          const whole = await read(asked, response, () => exchange(acknowledgement(asked)));
          if (asked.stop) request.destroy();
          else result.body = message(whole);
          result.trailers = pairs(response.rawTrailers);
          resolve(result);
        } catch (error) {
          fail(error);
        }
      });
      send(request, asked, body);
    });
  }
  return { exchange, close: () => agent.destroy() };
}

function framing(asked) {
  if (asked.size == null || asked.upgrade) return [];
  return [asked.chunked ? ["Transfer-Encoding", "chunked"] : ["Content-Length", `${asked.size}`]];
}

// The body goes after 100 where one was asked for, and after 101 where a switch was.
function send(request, asked, body) {
  const isExpecting = asked.headers.some(([name]) => name.toLowerCase() === "expect");
  if (asked.upgrade || !body) return request.end();
  const finish = () => {
    request.write(body);
    if (asked.trailers?.length) request.addTrailers(asked.trailers);
    request.end();
  };
  if (!isExpecting) return finish();
  request.on("continue", finish);
  return request.flushHeaders();
}

function converse(socket, said) {
  return new Promise((resolve, reject) => {
    const heard = [];
    let length = 0;
    socket.on("error", reject);
    socket.on("data", (piece) => {
      heard.push(piece);
      length += piece.length;
      if (length >= said.length) socket.end(() => resolve(Buffer.concat(heard)));
    });
    socket.on("close", () => reject(new Error("it closed before all came back")));
    socket.write(said);
  });
}

// ---- fetch

function nodeFetch({ base }) {
  async function exchange(asked) {
    const result = nothing();
    const leave = new AbortController();
    const timer = setTimeout(() => leave.abort(), DEADLINE);
    try {
      const response = await fetch(`${base}${asked.path}`, {
        method: asked.method,
        headers: asked.headers,
        redirect: "manual",
        signal: leave.signal,
        ...(asked.size == null ? {} : bodyOf(asked)),
      });
      Object.assign(result, { status: response.status, reason: response.statusText });
      result.headers = [...response.headers];
      const body = response.body ?? [];
      const whole = await read(asked, body, () => exchange(acknowledgement(asked)));
      if (!asked.stop) result.body = message(whole);
      return result;
    } catch (error) {
      return { ...result, error: plain(error.cause ?? error) };
    } finally {
      clearTimeout(timer);
      if (asked.stop) leave.abort();
    }
  }
  return { exchange, close() {} };
}

function bodyOf(asked) {
  const body = numbered(asked.size);
  return asked.chunked ? { body: new Blob([body]).stream(), duplex: "half" } : { body };
}

// ---- http2

function nodeHttp2({ base, proxy }) {
  const { host } = new URL(base);
  const [hostname, port] = (proxy || host).split(":");
  const createConnection = () => net.connect(Number(port), hostname);
  const session = http2.connect(base, { createConnection });
  session.on("error", () => {});

  function exchange(asked) {
    return new Promise((resolve) => {
      const result = { ...nothing(), version: "HTTP/2" };
      const head = { ":method": asked.method, ":path": asked.path, ...grouped(asked.headers) };
      const body = asked.size == null ? null : numbered(asked.size);
      if (body && !asked.chunked) head["content-length"] = String(body.length);
      const waitForTrailers = Boolean(asked.trailers?.length);
      const stream = session.request(head, { endStream: !body, waitForTrailers });
      const fail = (error) => resolve({ ...result, error: `${plain(error)} (${stream.rstCode})` });
      stream.setTimeout(DEADLINE, () => stream.destroy(new Error("nothing came")));
      stream.on("error", fail);
      stream.on("wantTrailers", () => stream.sendTrailers(grouped(asked.trailers)));
      stream.on("headers", (_headers, _flags, raw) => {
        const lines = pairs(raw);
        result.interim.push({ status: Number(lines.shift()[1]), headers: lines });
      });
      stream.on("trailers", (_headers, _flags, raw) => (result.trailers = pairs(raw)));
      stream.on("response", async (headers, _flags, raw) => {
        Object.assign(result, { status: headers[":status"], headers: pairs(raw) });
        try {
          const whole = await read(asked, stream, () => exchange(acknowledgement(asked)));
          if (asked.stop) stream.close(http2.constants.NGHTTP2_CANCEL);
          else result.body = message(whole);
          resolve(result);
        } catch (error) {
          fail(error);
        }
      });
      if (head.expect) stream.on("continue", () => stream.end(body));
      else if (body) stream.end(body);
    });
  }
  return { exchange, close: () => new Promise((closed) => session.close(closed)) };
}

// ----

async function run({ client, base, proxy, scenarios }) {
  const made = CLIENTS[client]({ base, proxy });
  const results = {};
  for (const { name, at_once, requests } of scenarios) {
    if (at_once) {
      results[name] = await Promise.all(requests.map(made.exchange));
      continue;
    }
    results[name] = [];
    for (const request of requests) results[name].push(await made.exchange(request));
  }
  await made.close();
  return results;
}

for await (const batch of told()) tell(await run(batch));
