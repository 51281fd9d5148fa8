"""A collector for a first look: prints each span that arrives by OTLP/HTTP.

    python tests/peers/print_spans.py [PORT]

The messages are read by the published classes of `opentelemetry-proto`.
"""

import http.server
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def line(service, span):
    """One span in one line."""
    kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
    took = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    values = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
    facts = " ".join(f"{key}={value}" for key, value in sorted(values.items()))
    return f"{service}  {kind}  {span.name}  trace {span.trace_id.hex()}  {took:.1f} ms  {facts}"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes `POST /v1/traces`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Prints the spans of a request and acknowledges them."""
        body = self.rfile.read(int(self.headers["content-length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    print(line(names["service.name"], span), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Only spans are printed."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4318
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
