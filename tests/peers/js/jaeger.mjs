// A program that still carries Jaeger's client for Node: it sends one trace to an agent, and prints
// the ids of its spans by their names: `node jaeger.mjs AGENT_PORT [SAMPLING_PORT]`. With a port for
// sampling it asks there first, and prints the probability that it was told.

import jaeger from "jaeger-client";
import udp from "jaeger-client/dist/src/reporters/udp_sender.js";
import opentracing from "opentracing";

const HOST = "127.0.0.1";
const { FORMAT_TEXT_MAP, Reference, REFERENCE_CHILD_OF, REFERENCE_FOLLOWS_FROM } = opentracing;
const [agentPort, samplingPort] = process.argv.slice(2).map(Number);

const told = { spans: {}, rate: null };

function begun(tracer, name, references = [], tags = {}) {
  const span = tracer.startSpan(name, { references, tags });
  const context = span.context();
  told.trace = context.traceIdStr.padStart(32, "0");
  told.spans[name] = context.spanIdStr.padStart(16, "0");
  return span;
}

const childOf = (span) => new Reference(REFERENCE_CHILD_OF, span.context());

function record(tracer) {
  const server = begun(tracer, "GET /cart", [], { "span.kind": "server" });
  server.addTags({ text: "grüße ☃", yes: true, whole: -7, real: 0.25 });
  server.setTag("bytes", Buffer.from([0, 255]));

  const price = begun(tracer, "price", [childOf(server)], { error: true });
  price.log({ event: "cache.miss", key: "cart:7", tries: 2 });
  price.log({ message: "no price" });
  price.finish();

  const send = begun(tracer, "send", [childOf(server)], { "span.kind": "producer" });
  send.finish();
  const follows = new Reference(REFERENCE_FOLLOWS_FROM, send.context());
  begun(tracer, "take", [follows], { "span.kind": "consumer" }).finish();

  const elsewhere = tracer.extract(FORMAT_TEXT_MAP, {
    "uber-trace-id": "10000000000000abc:def:0:1",
  });
  const both = [childOf(server), new Reference(REFERENCE_FOLLOWS_FROM, elsewhere)];
  begun(tracer, "batch", both).finish();
  server.finish();
}

async function sampler() {
  if (!samplingPort) return new jaeger.ConstSampler(true);
  return new Promise((resolve) => {
    const remote = new jaeger.RemoteSampler("shop", {
      sampler: new jaeger.ConstSampler(false),
      host: HOST,
      port: samplingPort,
      refreshInterval: 60_000,
      onSamplerUpdate(updated) {
        told.rate = updated.samplingRate ?? null;
        resolve(remote);
      },
    });
    remote._refreshSamplingStrategy();
  });
}

const sampled = await sampler();
const sender = new udp.default({ host: HOST, port: agentPort });
const reporter = new jaeger.RemoteReporter(sender);
const tracer = new jaeger.Tracer("shop", reporter, sampled, {
  traceId128bit: true,
  tags: { region: "north" },
});
record(tracer);
await new Promise((resolve) => tracer.close(resolve));
console.log(JSON.stringify(told));
