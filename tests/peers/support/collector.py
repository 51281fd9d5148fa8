"""An OTLP receiver over gRPC and HTTP, built on the published OTLP classes.

It can be stopped and started again on the same ports. Stopping is fair: what was stored has been
acknowledged, what was not stored has not, so that counting spans afterwards is exact.
"""

import contextlib
import gzip
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from .ports import HOST, ReservedPort
from .spans import decode
from .waiting import DEADLINE, eventually

GRPC = "grpc"
HTTP = "http/protobuf"
PROTOCOLS = (GRPC, HTTP)
"""The values of OTEL_EXPORTER_OTLP_PROTOCOL that the collector serves."""


class Collector:
    """The receiver; every span that ever arrived is in `spans()`."""

    def __init__(self, host=HOST):
        self._host = host
        self._ports = {protocol: ReservedPort(host) for protocol in PROTOCOLS}
        self._lock = threading.Lock()
        self._spans = []
        self._records = {"metrics": [], "logs": []}
        self._complaints = []
        self._receivers = []
        self.start()

    def endpoint(self, protocol):
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://{self._host}:{self._ports[protocol].number}"

    def start(self):
        """Begins to receive, on the same ports as ever."""
        assert not self._receivers, "the collector is running"
        self._receivers = [
            _GrpcReceiver(f"{self._host}:{self._ports[GRPC].number}", self),
            _HttpReceiver((self._host, self._ports[HTTP].number), self),
        ]

    def stop(self):
        """Ends all connections and refuses new ones."""
        for receiver in self._receivers:
            receiver.stop()
        self._receivers = []

    def close(self):
        """Stops for good; fails if anything came that is not sound OTLP."""
        self.stop()
        for port in self._ports.values():
            port.close()
        assert not self._complaints, self._complaints

    def spans(self, service=None):
        """The spans that have arrived, of one service or of all, in the order of arrival."""
        with self._lock:
            return [span for span in self._spans if service in (None, span.service)]

    def wait_for_records(self, signal, count):
        """The requests with metrics or logs that have arrived, once there are `count` or more."""

        def arrived():
            with self._lock:
                requests = list(self._records[signal])
            return requests if len(requests) >= count else None

        return eventually(arrived, f"{count} requests with {signal}")

    def wait_for(self, count, service=None, deadline=DEADLINE):
        """The spans, once there are `count` or more."""

        def arrived():
            spans = self.spans(service)
            return spans if len(spans) >= count else None

        def what():
            names = [f"{s.kind} {s.name} {s['url.path']}" for s in self.spans(service)][:20]
            return f"{count} spans of {service or 'any service'}, there are {names}"

        return eventually(arrived, what, deadline) if count else self.spans(service)

    def wait_for_span(self, matches, what):
        """The first span that `matches`."""
        return eventually(lambda: next(filter(matches, self.spans()), None), what)

    def _store(self, request):
        try:
            spans = decode(request)
        except Exception as complaint:
            self._complain(complaint)
            raise
        with self._lock:
            self._spans.extend(spans)

    def _keep(self, signal, request):
        with self._lock:
            self._records[signal].append(request)

    def _complain(self, complaint):
        with self._lock:
            self._complaints.append(repr(complaint))


class _GrpcReceiver:
    """The three OTLP services over gRPC."""

    def __init__(self, address, collector):
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        trace_grpc.add_TraceServiceServicer_to_server(_Traces(collector._store), self._server)
        metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(collector._keep), self._server)
        logs_grpc.add_LogsServiceServicer_to_server(_Logs(collector._keep), self._server)
        bound = self._server.add_insecure_port(address)
        assert address.endswith(f":{bound}"), f"the collector cannot listen on {address}"
        self._server.start()

    def stop(self):
        """Lets the calls that have begun end, and no others begin."""
        assert self._server.stop(grace=DEADLINE).wait(2 * DEADLINE), "gRPC does not end"


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, store):
        self._store = store

    def Export(self, request, context):
        self._store(request)
        return trace.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, keep):
        self._keep = keep

    def Export(self, request, context):
        self._keep("metrics", request)
        return metrics.ExportMetricsServiceResponse()


class _Logs(logs_grpc.LogsServiceServicer):
    def __init__(self, keep):
        self._keep = keep

    def Export(self, request, context):
        self._keep("logs", request)
        return logs.ExportLogsServiceResponse()


class _HttpReceiver:
    """The three OTLP signals over HTTP with protobuf bodies."""

    def __init__(self, address, collector):
        self._server = _Server(address, collector)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self):
        """Lets the posts that are being stored be acknowledged, then ends every connection."""
        self._server.shutdown()
        self._thread.join(DEADLINE)
        self._server.gate.shut()
        self._server.close_connections()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = False

    def __init__(self, address, collector):
        self.store = collector._store
        self.keep = collector._keep
        self.complain = collector._complain
        self.gate = _Gate()
        self._connections = set()
        super().__init__(address, _Handler)

    def process_request(self, request, client_address):
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self):
        """Ends the connections, which ends their threads."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # the peer may be first
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        """A connection that ends under a handler is the peer's right; all else is a complaint."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.complain(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    _REPLIES = {
        "/v1/traces": (trace.ExportTraceServiceRequest, trace.ExportTraceServiceResponse),
        "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
        "/v1/logs": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
    }

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        assert self.headers["Content-Type"] == "application/x-protobuf", self.headers
        request, response = self._REPLIES[self.path]
        message = request.FromString(body)
        with self.server.gate as is_open:
            if not is_open:
                self.close_connection = True
                return
            if self.path == "/v1/traces":
                self.server.store(message)
            else:
                self.server.keep(self.path.removeprefix("/v1/"), message)
            self._reply(response().SerializeToString())

    def _reply(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *arguments):
        """Nothing is logged."""


class _Gate:
    """Lets handlers in until it is shut, which waits for those inside."""

    def __init__(self):
        self._condition = threading.Condition()
        self._is_open = True
        self._inside = 0

    def __enter__(self):
        with self._condition:
            self._inside += 1
            return self._is_open

    def __exit__(self, *_):
        with self._condition:
            self._inside -= 1
            self._condition.notify_all()

    def shut(self):
        with self._condition:
            self._is_open = False
            assert self._condition.wait_for(lambda: self._inside == 0, DEADLINE), "a post hangs"
