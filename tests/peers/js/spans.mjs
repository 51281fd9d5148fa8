// Sends one trace by one exporter of the OpenTelemetry SDK, and prints what the SDK tells of it:
// `node spans.mjs json|proto|grpc URL`.

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

const EXPORTERS = { json: JsonExporter, proto: ProtoExporter, grpc: GrpcExporter };
const STATUSES = ["unset", "ok", "error"];

const EVERY_TYPE = {
  text: "grüße \u2603\n",
  "no text": "",
  yes: true,
  whole: -7,
  largest: Number.MAX_SAFE_INTEGER,
  real: 0.25,
  texts: ["a", "b"],
  wholes: [1, 2 ** 40],
  reals: [0.5, -1.5],
  "yes and no": [true, false],
  nothing: [],
};

function record(tracer) {
  const begun = (parent, name, kind, more = {}) => {
    const context = parent ? trace.setSpan(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
    return tracer.startSpan(name, { kind, ...more }, context);
  };
  const server = begun(null, "GET /cart", SpanKind.SERVER, { attributes: EVERY_TYPE });
  const step = begun(server, "price", SpanKind.INTERNAL);
  step.addEvent("cache.miss", { key: "cart:7", tries: 2 });
  step.recordException(new RangeError("no price"));
  step.setStatus({ code: SpanStatusCode.ERROR, message: "no price" });
  step.end();
  const elsewhere = {
    traceId: "abc".padStart(32, "0"),
    spanId: "def".padStart(16, "0"),
    traceFlags: 1,
  };
  const links = [{ context: elsewhere, attributes: { reason: "batch", sizes: [1, 2] } }];
  const call = begun(server, "GET", SpanKind.CLIENT, { links });
  call.setStatus({ code: SpanStatusCode.OK });
  call.end();
  const sent = begun(server, "send", SpanKind.PRODUCER);
  begun(sent, "take", SpanKind.CONSUMER).end();
  sent.end();
  server.end();
}

// Nanoseconds as digits: JavaScript does not hold the number.
const nanoseconds = ([seconds, rest]) => `${seconds}${String(rest).padStart(9, "0")}`;

function told(span) {
  return {
    id: span.spanContext().spanId,
    parent: span.parentSpanContext?.spanId ?? null,
    name: span.name,
    kind: SpanKind[span.kind].toLowerCase(),
    service: span.resource.attributes["service.name"],
    status: STATUSES[span.status.code],
    status_message: span.status.message ?? "",
    scope: span.instrumentationScope.name,
    start: nanoseconds(span.startTime),
    end: nanoseconds(span.endTime),
    attributes: Object.entries(span.attributes),
    resource: Object.entries(span.resource.attributes),
    events: span.events.map((event) => ({
      name: event.name,
      time: nanoseconds(event.time),
      attributes: Object.entries(event.attributes ?? {}),
    })),
    links: span.links.map((link) => ({
      trace: link.context.traceId,
      span: link.context.spanId,
      attributes: Object.entries(link.attributes ?? {}),
    })),
  };
}

const [name, url] = process.argv.slice(2);
const memory = new InMemorySpanExporter();
const provider = new TracerProvider({
  resource: resourceFromAttributes({ "service.name": "shop", "host.cores": [1, 2] }),
  spanProcessors: [
    new BatchSpanProcessor({ exporter: new EXPORTERS[name]({ url }) }),
    new SimpleSpanProcessor({ exporter: memory }),
  ],
});
record(provider.getTracer("shop.tracer", "1.2.3"));
await provider.forceFlush();
const spans = memory.getFinishedSpans();
console.log(JSON.stringify({ trace: spans[0].spanContext().traceId, spans: spans.map(told) }));
await provider.shutdown();
