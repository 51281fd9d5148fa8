// @grpc/grpc-js as server and client, told what to do by lines of JSON on standard input;
// the steps are those of support/rpc/__init__.py.

import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import grpc from "@grpc/grpc-js";

const SERVICE = "peers.v1.Steps";
const UNLIMITED = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
};
const bytes = (data) => data;
const plain = {
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
};
const METHODS = {
  Unary: { requestStream: false, responseStream: false },
  Up: { requestStream: true, responseStream: false },
  Down: { requestStream: false, responseStream: true },
  Both: { requestStream: true, responseStream: true },
};

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function message(index, size) {
  const unit = Buffer.alloc(4);
  unit.writeUInt32BE(index);
  return Buffer.alloc(size, unit);
}

function fromJson(pairs) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of pairs) {
    metadata.add(key, key.endsWith("-bin") ? Buffer.from(value, "hex") : value);
  }
  return metadata;
}

function toJson(metadata) {
  if (!metadata) return [];
  const keys = Object.keys(metadata.getMap());
  const text = (value) => (Buffer.isBuffer(value) ? value.toString("hex") : value);
  return keys.flatMap((key) => metadata.get(key).map((value) => [key, text(value)]));
}

class Digest {
  #hash = createHash("sha256");
  count = 0;
  bytes = 0;

  add(data) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    this.count += 1;
    this.bytes += data.length;
    this.#hash.update(length).update(data);
  }

  report() {
    return { count: this.count, bytes: this.bytes, sha256: this.#hash.copy().digest("hex") };
  }
}

// Calls at the server by their id; at the client by the number of the order.
const calls = new Map();

class Call {
  sent = 0;
  received = new Digest();
  over = resolvers();
  released = resolvers();

  // Writes a message, and waits until there is room for the next one or the call is over.
  async write(stream, data) {
    this.sent += 1;
    if (!stream.write(data)) {
      const drained = new Promise((resolve) => stream.once("drain", resolve));
      await Promise.race([drained, this.over.promise]);
    }
  }

  next(size) {
    return message(this.sent, size);
  }
}

function resolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

// What a stream receives, one by one and no faster; throws what the stream fails with.
function inbox(stream) {
  const iterator = stream.iterator({ destroyOnReturn: false });
  return async () => {
    const { done, value } = await iterator.next();
    return done ? null : value;
  };
}

class ServerCall extends Call {
  constructor(call, kind, callback) {
    super();
    this.call = call;
    this.kind = kind;
    this.callback = callback;
    this.id = call.metadata.get("call-id")[0];
    this.steps = JSON.parse(call.metadata.get("steps-bin")[0].toString());
    const deadline = call.getDeadline();
    this.timeout = Number.isFinite(deadline) ? (deadline - Date.now()) / 1000 : null;
    if (kind.requestStream) {
      this.take = inbox(call);
    } else {
      const requests = [call.request];
      this.take = async () => requests.shift() ?? null;
    }
    calls.set(this.id, this);
    call.on("cancelled", () => this.end(true));
    call.on("error", () => {});
  }

  end(cancelled) {
    this.over.resolve();
    this.released.resolve();
    if (this.isReported) return;
    this.isReported = true;
    say({
      call: this.id,
      metadata: toJson(this.call.metadata),
      timeout: this.timeout,
      received: this.received.report(),
      cancelled,
    });
  }

  async run() {
    let status = [0, "", []];
    for (const [name, ...how] of this.steps) {
      if (name === "end") status = how;
      else await this.step(name, ...how);
      if (this.call.cancelled) return;
    }
    this.finish(...status);
    this.end(false);
  }

  async step(name, ...how) {
    const [count, size] = how;
    if (name === "send") {
      for (let i = 0; i < count && !this.call.cancelled; i += 1) await this.send(this.next(size));
    } else if (name === "ping") {
      for (let i = 0; i < count; i += 1) await this.send(await this.receive());
    } else if (name === "recv") {
      for (let i = 0; i < count; i += 1) await this.receive();
    } else if (name === "drain") {
      for (let data = await this.take(); data !== null; data = await this.take()) {
        this.received.add(data);
      }
    } else if (name === "initial") {
      this.call.sendMetadata(fromJson(how[0]));
    } else if (name === "compress") {
      // This stack cannot compress what it answers.
    } else if (name === "tell") {
      say({ told: this.id });
    } else if (name === "wait") {
      await this.released.promise;
    } else if (name === "hold") {
      await this.over.promise;
    } else {
      throw new Error(name);
    }
  }

  async receive() {
    const data = await this.take();
    if (data === null) throw new Error("a message that must come does not");
    this.received.add(data);
    return data;
  }

  async send(data) {
    if (this.kind.responseStream) {
      await this.write(this.call, data);
    } else {
      this.answer = data;
      this.sent += 1;
    }
  }

  finish(code, details, trailing) {
    const metadata = fromJson(trailing);
    if (this.callback) {
      const error = code ? { code, details, metadata } : null;
      this.callback(error, this.answer ?? Buffer.alloc(0), metadata);
    } else if (code) {
      this.call.emit("error", { code, details, metadata });
    } else {
      this.call.end(metadata);
    }
  }
}

function handler(kind) {
  return (call, callback) => {
    const served = new ServerCall(call, kind, callback);
    served.run().catch((error) => {
      if (!call.cancelled) say({ complaint: `${error.stack}` });
    });
  };
}

const definition = {};
const implementation = {};
for (const [name, kind] of Object.entries(METHODS)) {
  definition[name] = { path: `/${SERVICE}/${name}`, ...kind, ...plain };
  implementation[name] = handler(kind);
}
const servers = new Map();

function serve({ ask, port }) {
  const server = new grpc.Server(UNLIMITED);
  server.addService(definition, implementation);
  server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) throw error;
    servers.set(port, server);
    say({ ask });
  });
}

// `tryShutdown` unbinds at once; what it waits for is the end of the calls.
function stop({ ask, port, graceful }) {
  const server = servers.get(port);
  servers.delete(port);
  if (graceful) server.tryShutdown(() => {});
  else server.forceShutdown();
  setImmediate(() => say({ ask }));
}

const channels = new Map();

function client(target, authority, options) {
  const key = JSON.stringify([target, authority, options]);
  if (!channels.has(key)) {
    const settings = {
      ...UNLIMITED,
      "grpc.enable_http_proxy": 0,
      "grpc.default_authority": authority,
    };
    if (options.keepalive) {
      settings["grpc.keepalive_time_ms"] = options.keepalive;
      settings["grpc.keepalive_permit_without_calls"] = 1;
    }
    if (options.gzip) settings["grpc.default_compression_algorithm"] = 2;
    channels.set(key, new grpc.Client(target, grpc.credentials.createInsecure(), settings));
  }
  return channels.get(key);
}

class ClientCall extends Call {
  constructor(ask, kind) {
    super();
    this.ask = ask;
    this.kind = kind;
    calls.set(ask, this);
  }

  start(to, method, order) {
    const path = method.includes("/") ? method : `/${SERVICE}/${method}`;
    const metadata = fromJson(order.metadata);
    const options = order.timeout === null ? {} : { deadline: Date.now() + order.timeout * 1000 };
    const one = message(0, order.steps.find(([name]) => name === "send")?.[2] ?? 0);
    const rest = [metadata, options];
    const answered = resolvers();
    const answer = (error, data) => answered.resolve(data ?? null);
    if (this.kind === "unary") {
      this.rpc = to.makeUnaryRequest(path, bytes, bytes, one, ...rest, answer);
    } else if (this.kind === "up") {
      this.rpc = to.makeClientStreamRequest(path, bytes, bytes, ...rest, answer);
    } else if (this.kind === "down") {
      this.rpc = to.makeServerStreamRequest(path, bytes, bytes, one, ...rest);
    } else {
      this.rpc = to.makeBidiStreamRequest(path, bytes, bytes, ...rest);
    }
    this.isStreaming = this.kind === "up" || this.kind === "both";
    if (this.kind === "down" || this.kind === "both") {
      this.take = inbox(this.rpc);
    } else {
      let isTaken = false;
      this.take = async () => {
        if (isTaken) return null;
        isTaken = true;
        return answered.promise;
      };
    }
    this.rpc.on("metadata", (initial) => {
      this.initial = initial;
    });
    this.rpc.on("error", () => {});
    this.rpc.on("status", (status) => {
      this.status = status;
      this.over.resolve();
    });
  }

  async run(steps) {
    try {
      for (const step of steps) await this.step(...step);
      this.close();
      await this.drain();
    } catch (error) {
      if (!("code" in error)) throw error;
    }
    this.close();
    await this.over.promise;
    say({
      ask: this.ask,
      code: this.status.code,
      message: this.status.details,
      initial: toJson(this.initial),
      trailing: toJson(this.status.metadata),
      received: this.received.report(),
    });
  }

  async step(name, count, size) {
    if (name === "send") {
      for (let i = 0; i < count && this.isStreaming && !this.status; i += 1) {
        await this.write(this.rpc, this.next(size));
      }
    } else if (name === "ping") {
      for (let i = 0; i < count; i += 1) {
        await this.write(this.rpc, this.next(size));
        await this.receive();
      }
    } else if (name === "recv") {
      for (let i = 0; i < count; i += 1) await this.receive();
    } else if (name === "drain") {
      await this.drain();
    } else if (name === "close") {
      this.close();
    } else if (name === "tell") {
      say({ told: this.ask });
    } else if (name === "wait") {
      await this.released.promise;
    } else if (name === "cancel") {
      this.rpc.cancel();
      this.isClosed = true;
    } else {
      throw new Error(name);
    }
  }

  close() {
    if (this.isStreaming && !this.isClosed) this.rpc.end();
    this.isClosed = true;
  }

  async receive() {
    const data = await this.take();
    if (data !== null) this.received.add(data);
  }

  async drain() {
    for (let data = await this.take(); data !== null; data = await this.take()) {
      this.received.add(data);
    }
  }
}

function call(order) {
  const one = new ClientCall(order.ask, order.kind);
  one.start(client(order.target, order.authority, order.options), order.method, order);
  one.run(order.steps);
}

const go = ({ call: id }) => calls.get(id).released.resolve();

const progress = ({ ask, call: id }) => say({ ask, sent: calls.get(id).sent });

function hang_up({ ask }) {
  for (const one of channels.values()) one.close();
  channels.clear();
  say({ ask });
}

const ORDERS = { serve, stop, call, go, progress, hang_up };
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const order = JSON.parse(line);
  ORDERS[order.do](order);
});
lines.on("close", () => process.exit(0));
