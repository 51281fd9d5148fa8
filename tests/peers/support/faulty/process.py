"""The process of the receiver: `python -m support.faulty.process`, told what to do in JSON lines.

Behind a front for gRPC and one for HTTP are servers on the published OTLP classes. A change of mode
waits until what has been decided is answered, so that what was taken in a mode is known to have
been acknowledged in it, or not.
"""

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
import time
from dataclasses import dataclass

import grpc
from aiohttp import web
from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from . import front as fronts
from . import modes
from .ledger import Ledger

_UNAVAILABLE, _BUSY, _BAD, _LARGE, _GONE, _TAKEN = "unavailable", "busy", "bad", "large", "gone", ""
_MOST = 64 * 1024 * 1024
_AWAY = 0.5
"""Seconds that one that restarts is away."""


@dataclass
class _Verdict:
    """What becomes of a request."""

    fault: str = _TAKEN
    has_hint: bool = False
    rejected: int = 0


class _Batch:
    """The spans of a request: what is counted of them, however they came."""

    def __init__(self, ids, size, holds, notes):
        self.ids, self.size, self.holds, self.notes = ids, size, holds, notes

    @classmethod
    def of(cls, request, size):
        """Of the published class."""
        spans = [s for r in request.resource_spans for c in r.scope_spans for s in c.spans]

        def notes():
            for span in spans:
                path = next((a.value.string_value for a in span.attributes if a.key == _PATH), "")
                yield path, span.end_time_unix_nano

        ids = [span.span_id for span in spans]
        return cls(ids, size, lambda text: text in request.SerializeToString(), notes)

    @classmethod
    def of_json(cls, body):
        """Of OTLP's JSON, which no published class reads: its ids are hexadecimal."""
        groups = json.loads(body)["resourceSpans"]
        spans = [s for r in groups for c in r["scopeSpans"] for s in c["spans"]]

        def notes():
            for span in spans:
                found = (a["value"] for a in span["attributes"] if a["key"] == _PATH)
                yield next(found, {}).get("stringValue", ""), int(span["endTimeUnixNano"])

        ids = [bytes.fromhex(span["spanId"]) for span in spans]
        return cls(ids, len(body), lambda text: text in body, notes)


_PATH = "url.path"


class Process:
    """The receiver."""

    def __init__(self, options):
        self._options = options
        self.ledger = Ledger()
        self._mode = modes.HEALTHY
        self._answered = {}
        self._malformed = []
        self._shown = 0
        """How often the certificate that has expired was shown."""
        self._gate = asyncio.Event()
        self._gate.set()
        self._deciding = 0
        self._restarts = None

    async def run(self):
        """Serves until it is told to quit."""
        self.grpc = fronts.Front(self._options.grpc, await self._serve_grpc())
        self.http = fronts.Front(self._options.http, await self._serve_http())
        await self._listen()
        reader = asyncio.StreamReader(limit=_MOST)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        _say({"ready": True})
        while line := await reader.readline():
            _say(await self._obey(**json.loads(line)))

    async def _obey(self, do, **how):
        if do == "switch":
            await self._switch(**how)
            return {}
        if do == "paths":
            return self.ledger.paths()
        if do == "forget_delays":
            self.ledger.forget_delays()
            return {}
        connections = {"grpc": self.grpc.accepted, "http": self.http.accepted}
        more = {"answered": self._answered, "malformed": self._malformed, "shown": self._shown}
        return self.ledger.report() | more | {"connections": connections}

    async def _switch(self, mode, period=5.0):
        """Changes the mode, once what has been decided is answered."""
        if self._restarts:
            self._restarts.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._restarts
            self._restarts = None
        await self._settle()
        before, self._mode = self._mode, mode
        both = (self.grpc, self.http)
        for front in both:
            front.way = fronts.SWALLOW if mode == modes.BLACK_HOLE else fronts.PASS
        if modes.BLACK_HOLE in (before, mode) or modes.EXPIRED in (before, mode):
            for front in both:
                front.end_all()
        if mode == modes.REFUSED:
            await self._leave()
        elif before == modes.REFUSED:
            await self._listen()
        if mode == modes.RESTARTING:
            self._restarts = asyncio.ensure_future(self._restart(period))
        self._gate.set()

    async def _settle(self):
        """Lets nobody decide, and waits until what was decided has gone out."""
        self._gate.clear()
        while self._deciding:
            await asyncio.sleep(0.002)
        await self.grpc.quiet()
        await self.http.quiet()

    async def _restart(self, period):
        is_away = False
        try:
            while True:
                await asyncio.sleep(period - _AWAY)
                await self._settle()
                is_away = True
                await self._leave()
                self._gate.set()
                await asyncio.sleep(_AWAY)
                await self._listen()
                is_away = False
        finally:
            self._gate.set()
            if is_away:
                await self._listen()

    async def _listen(self):
        for front, protocol in ((self.grpc, "h2"), (self.http, "http/1.1")):
            await front.refuse()
            await front.listen(self._tls(protocol))

    async def _leave(self):
        for front in (self.grpc, self.http):
            await front.refuse()

    def _tls(self, protocol):
        """The certificates that are shown, if there is TLS."""
        folder = self._options.tls
        if not folder:
            return None
        contexts = {}
        for name in ("good", "expired"):
            contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            contexts[name].load_cert_chain(f"{folder}/{name}.pem", f"{folder}/key.pem")
            contexts[name].set_alpn_protocols([protocol])
            # Whoever resumes a session is not shown a certificate.
            contexts[name].options |= ssl.OP_NO_TICKET
            contexts[name].num_tickets = 0

        def choose(connection, *_):
            if self._mode == modes.EXPIRED:
                self._shown += 1
                connection.context = contexts["expired"]

        contexts["good"].sni_callback = choose
        return contexts["good"]

    async def decide(self, front, peer, generation, batch):
        """What becomes of a request that has come whole."""
        if self._mode == modes.SLOW:
            await asyncio.sleep(modes.LATENCY)
        while not self._gate.is_set():
            await self._gate.wait()
        if generation != front.generation or not front.has(peer):
            return _Verdict(_GONE)
        mode = self._mode
        self._answered[mode] = self._answered.get(mode, 0) + 1
        self._deciding += 1
        self.ledger.offer(batch.ids)
        verdict = self._verdict(mode, batch)
        if verdict.fault:
            self.ledger.refuse(batch.ids)
            return verdict
        taken = batch.ids[: len(batch.ids) - verdict.rejected]
        is_lost = mode in (modes.RESET, modes.GARBAGE)
        self.ledger.take(taken, is_lost)
        if is_lost:
            front.doom(peer, fronts.RESET if mode == modes.RESET else fronts.GARBAGE)
        elif self._options.notes:
            now = time.time_ns()
            for path, ended in batch.notes():
                self.ledger.note(path)
                self.ledger.delay((now - ended) / 1e9)
        return verdict

    def answered(self):
        """A request that was decided has been answered."""
        self._deciding -= 1

    def complain(self, what):
        """Keeps what was no sound OTLP."""
        self._malformed.append(repr(what))

    def _verdict(self, mode, batch):
        match mode:
            case modes.UNAVAILABLE | modes.UNAVAILABLE_HINT:
                return _Verdict(_UNAVAILABLE, mode == modes.UNAVAILABLE_HINT)
            case modes.BUSY | modes.BUSY_HINT:
                return _Verdict(_BUSY, mode == modes.BUSY_HINT)
            case modes.BAD:
                return _Verdict(_BAD)
            case modes.PARTIAL:
                return _Verdict(rejected=len(batch.ids) // 2)
            case modes.LARGE if batch.size > modes.MOST_BYTES:
                return _Verdict(_LARGE)
            case modes.POISONED if batch.holds(modes.POISON):
                return _Verdict(_BAD)
        return _Verdict()

    async def _serve_grpc(self):
        options = [("grpc.max_receive_message_length", _MOST), ("grpc.so_reuseport", 0)]
        self._grpc_server = grpc.aio.server(options=options)
        trace_grpc.add_TraceServiceServicer_to_server(_Traces(self), self._grpc_server)
        metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(), self._grpc_server)
        logs_grpc.add_LogsServiceServicer_to_server(_Logs(), self._grpc_server)
        port = self._grpc_server.add_insecure_port("127.0.0.1:0")
        await self._grpc_server.start()
        return port

    async def _serve_http(self):
        application = web.Application(client_max_size=_MOST)
        posts = _Posts(self)
        application.add_routes([web.post("/v1/{signal}", posts.take)])
        runner = web.AppRunner(application, keepalive_timeout=3_600)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return site._server.sockets[0].getsockname()[1]


class _Traces(trace_grpc.TraceServiceServicer):
    """OTLP/gRPC."""

    _CODES = {
        _UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, "not now"),
        _BUSY: (grpc.StatusCode.RESOURCE_EXHAUSTED, "too much at once"),
        _BAD: (grpc.StatusCode.INVALID_ARGUMENT, "one of these is poison"),
        _LARGE: (grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max"),
        _GONE: (grpc.StatusCode.UNAVAILABLE, "gone"),
    }

    def __init__(self, process):
        self._process = process

    async def Export(self, request, context):
        front, peer = self._process.grpc, int(context.peer().rpartition(":")[2])
        batch = _Batch.of(request, request.ByteSize())
        verdict = await self._process.decide(front, peer, front.generation, batch)
        if verdict.fault != _GONE:
            context.add_done_callback(lambda _: self._process.answered())
        if not verdict.fault:
            response = trace.ExportTraceServiceResponse()
            if verdict.rejected:
                response.partial_success.rejected_spans = verdict.rejected
                response.partial_success.error_message = "not all of them"
            return response
        code, text = self._CODES[verdict.fault]
        details = (("grpc-status-details-bin", _hint(code, text)),) if verdict.has_hint else ()
        await context.abort(code, text, details)


class _Metrics(metrics_grpc.MetricsServiceServicer):
    async def Export(self, request, context):
        return metrics.ExportMetricsServiceResponse()


class _Logs(logs_grpc.LogsServiceServicer):
    async def Export(self, request, context):
        return logs.ExportLogsServiceResponse()


def _hint(code, text):
    """A google.rpc.Status with RetryInfo."""
    status = status_pb2.Status(code=code.value[0], message=text)
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromNanoseconds(int(modes.HINT * 1e9))
    status.details.add().Pack(info)
    return status.SerializeToString()


class _Posts:
    """OTLP/HTTP, in protobuf and in JSON."""

    _CODES = {_UNAVAILABLE: 503, _BUSY: 429, _BAD: 400, _LARGE: 413}
    _OTHERS = {
        "metrics": metrics.ExportMetricsServiceResponse,
        "logs": logs.ExportLogsServiceResponse,
    }

    def __init__(self, process):
        self._process = process

    async def take(self, request):
        """Answers a post."""
        front = self._process.http
        generation, peer = front.generation, request.transport.get_extra_info("peername")[1]
        body = await request.read()
        kind = request.content_type
        if other := self._OTHERS.get(request.match_info["signal"]):
            return web.Response(body=other().SerializeToString(), content_type=kind)
        try:
            if kind == "application/json":
                batch = _Batch.of_json(body)
            else:
                batch = _Batch.of(trace.ExportTraceServiceRequest.FromString(body), len(body))
        except Exception as complaint:
            self._process.complain(complaint)
            return web.Response(status=400)
        verdict = await self._process.decide(front, peer, generation, batch)
        if verdict.fault == _GONE:
            request.transport.abort()
            return web.Response(status=503)
        try:
            return await self._answer(request, kind, verdict)
        finally:
            self._process.answered()

    async def _answer(self, request, kind, verdict):
        status = self._CODES.get(verdict.fault, 200)
        headers = {"Retry-After": str(int(modes.HINT))} if verdict.has_hint else {}
        response = web.Response(
            status=status, headers=headers, content_type=kind, body=self._body(kind, verdict)
        )
        with contextlib.suppress(ConnectionError):  # a doomed connection may be gone before
            await response.prepare(request)
            await response.write_eof()
        return response

    @staticmethod
    def _body(kind, verdict):
        is_json = kind == "application/json"
        if verdict.fault:
            status = status_pb2.Status(code=code_pb2.UNKNOWN, message=verdict.fault)
            return b'{"message": "no"}' if is_json else status.SerializeToString()
        if is_json:
            partial = {"rejectedSpans": str(verdict.rejected), "errorMessage": "not all of them"}
            return json.dumps({"partialSuccess": partial} if verdict.rejected else {}).encode()
        response = trace.ExportTraceServiceResponse()
        if verdict.rejected:
            response.partial_success.rejected_spans = verdict.rejected
            response.partial_success.error_message = "not all of them"
        return response.SerializeToString()


def _say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main():
    """Runs it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--grpc", type=int, required=True)
    parser.add_argument("--http", type=int, required=True)
    parser.add_argument("--tls", help="the folder of the certificates")
    parser.add_argument("--notes", action="store_true", help="paths and delays are noted")
    asyncio.run(Process(parser.parse_args()).run())


if __name__ == "__main__":
    main()
