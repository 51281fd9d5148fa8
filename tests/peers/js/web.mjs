// Connect for Node as server and client of gRPC, gRPC-Web and Connect over HTTP/1.1 and HTTP/2,
// told what to do by lines of JSON on standard input. Messages are `google.protobuf.StringValue`, which
// needs no generated code; a request is what the server is to do, as JSON.

import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { createInterface } from "node:readline";
import { create, createFileRegistry } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  StringValueSchema,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";

const TEXT = ".google.protobuf.StringValue";
const file = create(FileDescriptorProtoSchema, {
  name: "web.proto",
  package: "peers.v1",
  syntax: "proto3",
  dependency: ["google/protobuf/wrappers.proto"],
  service: [
    {
      name: "Web",
      method: [
        { name: "Unary", inputType: TEXT, outputType: TEXT },
        { name: "Down", inputType: TEXT, outputType: TEXT, serverStreaming: true },
        {
          name: "Both",
          inputType: TEXT,
          outputType: TEXT,
          clientStreaming: true,
          serverStreaming: true,
        },
      ],
    },
  ],
});
const registry = createFileRegistry(file, (name) =>
  name === "google/protobuf/wrappers.proto" ? file_google_protobuf_wrappers : undefined,
);
const Web = registry.getService("peers.v1.Web");
const text = (value) => create(StringValueSchema, { value });
const TRANSPORTS = {
  grpc: createGrpcTransport,
  "grpc-web": createGrpcWebTransport,
  connect: createConnectTransport,
};

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const toJson = (headers) => [...(headers ?? [])];

// Does what a request asks for: metadata, messages, and an error.
async function* carryOut(request, context) {
  const { send = [], headers = [], trailers = [], code, message } = JSON.parse(request.value);
  for (const [key, value] of headers) context.responseHeader.append(key, value);
  for (const [key, value] of trailers) context.responseTrailer.append(key, value);
  for (const one of send) yield text(one);
  if (code) {
    const details = [{ desc: StringValueSchema, value: { value: "why" } }];
    throw new ConnectError(message, code, Object.fromEntries(trailers), details);
  }
}

function report(context) {
  say({
    call: context.requestHeader.get("call-id"),
    protocol: context.protocolName,
    metadata: toJson(context.requestHeader),
    timeout: context.timeoutMs() ?? null,
  });
}

const service = {
  async unary(request, context) {
    report(context);
    let answer = text("");
    for await (const one of carryOut(request, context)) answer = one;
    return answer;
  },
  async *down(request, context) {
    report(context);
    yield* carryOut(request, context);
  },
  async *both(requests, context) {
    report(context);
    for await (const request of requests) yield* carryOut(request, context);
  },
};

function serve({ ask, port, version }) {
  const handler = connectNodeAdapter({ routes: (router) => router.service(Web, service) });
  const make = version === "2" ? http2.createServer : http.createServer;
  make(handler).listen(port, "127.0.0.1", () => say({ ask }));
}

async function call({ ask, protocol, version, port, authority, method, requests, headers, json }) {
  const connection = { createConnection: () => net.connect(port, "127.0.0.1") };
  const transport = TRANSPORTS[protocol]({
    baseUrl: `http://${authority}`,
    httpVersion: version,
    useBinaryFormat: !json,
    nodeOptions: connection,
  });
  const client = createClient(Web, transport);
  const seen = { messages: [], code: 0, message: "", details: [] };
  const options = {
    headers,
    onHeader: (found) => {
      seen.initial = toJson(found);
    },
    onTrailer: (found) => {
      seen.trailing = toJson(found);
    },
  };
  try {
    if (method === "unary") {
      seen.messages.push((await client.unary(text(requests[0]), options)).value);
    } else {
      const up = (async function* all() {
        for (const one of requests) yield text(one);
      })();
      const input = method === "both" ? up : text(requests[0]);
      for await (const one of client[method](input, options)) seen.messages.push(one.value);
    }
  } catch (error) {
    const failed = ConnectError.from(error);
    seen.code = failed.code;
    seen.message = failed.rawMessage;
    seen.failed = toJson(failed.metadata);
    seen.details = failed.findDetails(StringValueSchema).map((one) => one.value);
  }
  say({ ask, ...seen });
}

const ORDERS = { serve, call };
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const order = JSON.parse(line);
  ORDERS[order.do](order);
});
lines.on("close", () => process.exit(0));
