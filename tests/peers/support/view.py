"""`spandrel view` as a process: fed, asked through its API, measured, and ended."""

import httpx

from . import memory
from .collector import GRPC, HTTP
from .ports import HOST, free_port
from .programs import Program
from .waiting import DEADLINE, eventually


class View(Program):
    """One running `spandrel view`, which may be started again where one has ended."""

    def __init__(self, binary, folder, limit="64MiB", ports=None):
        """Starts it, so that its traces take up at most `limit`."""
        self.ports = ports or (free_port(), free_port(), free_port())
        page, grpc, http = (f"{HOST}:{port}" for port in self.ports)
        self._receivers = {GRPC: f"http://{grpc}", HTTP: f"http://{http}"}
        addresses = ["--page", page, "--grpc", grpc, "--http", http]
        super().__init__(binary, ["view", *addresses, "--memory", limit], folder)

    def endpoint(self, protocol):
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return self._receivers[protocol]

    def receiver(self, signal_name="traces"):
        """The URL that a signal is posted to over HTTP."""
        return f"{self._receivers[HTTP]}/v1/{signal_name}"

    def send(self, *traces):
        """Exports traces of `support.made` over OTLP."""
        for trace in traces:
            headers = {"content-type": "application/x-protobuf"}
            body = trace.encoded()
            httpx.post(
                self.receiver(), content=body, headers=headers, trust_env=False
            ).raise_for_status()

    def api(self, path, **query):
        """The answer to `/api/` + path."""
        return self.get(f"/api/{path}", **query)

    def trace(self, trace_id):
        """A trace with all its spans."""
        return self.api(f"traces/{trace_id}")

    def wait_for_trace(self, trace_id, spans, deadline=DEADLINE):
        """A trace, once it has that many spans."""
        last = None

        def whole():
            nonlocal last
            try:
                last = self.trace(trace_id)
            except httpx.HTTPStatusError as refusal:
                assert refusal.response.status_code == 404, refusal
                return None
            return last if last["spans_total"] == spans else None

        return eventually(whole, lambda: f"{spans} spans of {trace_id}, not {last}", deadline)

    def books(self):
        """Its books, in which every span is accounted for."""
        books = self.api("health")["view"]
        where = ("kept", "refused", "repeated", "evicted")
        total = sum(books[f"spans_{place}"] for place in where)
        assert books["spans_received"] == total, books
        assert books["bytes"] <= books["limit_bytes"], books
        return books

    def resident(self):
        """The resident memory that it has now, in bytes."""
        return memory.resident(self.pid)

    def most_resident(self):
        """The most resident memory that it ever had, in bytes."""
        return memory.most_resident(self.pid)
