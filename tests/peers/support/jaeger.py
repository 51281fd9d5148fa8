"""Jaeger as a process: it receives spans over OTLP, keeps them in memory, and is asked for them."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from .collector import GRPC, HTTP
from .ports import HOST, free_port
from .spans import decode_json
from .waiting import eventually

PROJECT = Path(__file__).resolve().parents[3]
"""The root of the project."""

_BUILD = "go -C tests/peers/jaeger build -o ../../../target/jaeger"
_PACKAGE = "github.com/jaegertracing/jaeger/cmd/jaeger"

START = 30.0
"""Seconds that Jaeger has to start."""
END = 30.0
"""Seconds that Jaeger has to end once it is killed."""


class Jaeger:
    """A running Jaeger; sidecars take it for their collector."""

    def __init__(self, folder):
        self._ports = {HTTP: free_port(), GRPC: free_port()}
        self._query, self._query_grpc, self._health = free_port(), free_port(), free_port()
        self._log = folder / "jaeger.log"
        config = folder / "jaeger.yaml"
        config.write_text(yaml.safe_dump(self._config()))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [_binary(), "--config", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            eventually(self._is_ready, lambda: f"Jaeger; it said:\n{self._said()}", START)
        except BaseException:
            self.close()
            raise

    @property
    def url(self):
        """Its query port."""
        return f"http://{HOST}:{self._query}"

    def endpoint(self, protocol):
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://{HOST}:{self._ports[protocol]}"

    def calls(self):
        """What it says who called whom: numbers by caller and callee.

        Its memory counts a span below another of the same service as a call of that service to
        itself, which nobody made: these are left out.
        """
        query = {"endTs": int(time.time() * 1000) + 60_000, "lookback": 3_600_000}
        links = self._get(f"/api/dependencies?{urllib.parse.urlencode(query)}")["data"]
        numbers = {(link["parent"], link["child"]): link["callCount"] for link in links}
        return {ends: number for ends, number in numbers.items() if len(set(ends)) > 1}

    def spans(self, trace_id):
        """The spans of a trace, as its query API gives them in OTLP, without its own remarks."""
        try:
            answer = self._get(f"/api/v3/traces/{trace_id}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        spans = decode_json(answer["result"]["resourceSpans"])
        for span in spans:
            span.attributes.pop("@jaeger@warnings", None)
        return spans

    def wait_for_trace(self, trace_id, spans):
        """A trace as its API tells of it, once it has so many spans."""

        def whole():
            try:
                traces = self._get(f"/api/traces/{trace_id}")["data"]
            except urllib.error.HTTPError:
                return None
            return traces[0] if len(traces[0]["spans"]) >= spans else None

        return eventually(whole, f"{spans} spans of {trace_id} in Jaeger")

    def close(self):
        """Ends it at once: it has nothing to save, and takes ten seconds to go by itself."""
        self._process.kill()
        self._process.wait(END)

    def _config(self):
        address = {"http": f"{HOST}:{self._query}", "grpc": f"{HOST}:{self._query_grpc}"}
        endpoints = {name: {"endpoint": value} for name, value in address.items()}
        receivers = {
            "http": {"endpoint": f"{HOST}:{self._ports[HTTP]}"},
            "grpc": {"endpoint": f"{HOST}:{self._ports[GRPC]}"},
        }
        return {
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}
                },
                "telemetry": {"metrics": {"level": "none"}},
            },
            "extensions": {
                "jaeger_storage": {"backends": {"here": {"memory": {"max_traces": 10_000}}}},
                "jaeger_query": {"storage": {"traces": "here"}, **endpoints},
                "healthcheckv2": {
                    "use_v2": True,
                    "http": {"endpoint": f"{HOST}:{self._health}"},
                    "grpc": None,
                },
            },
            "receivers": {"otlp": {"protocols": receivers}},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "here"}},
        }

    def _is_ready(self):
        assert self._process.poll() is None, f"Jaeger has ended:\n{self._said()}"
        try:
            return _get(f"http://{HOST}:{self._health}/status")["status"] == "StatusOK"
        except OSError:
            return False

    def _get(self, path):
        return _get(self.url + path)

    def _said(self):
        return self._log.read_text(errors="replace")


def _get(url):
    no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with no_proxy.open(url, timeout=5) as response:
        return json.load(response)


def _binary():
    """The binary of JAEGER_BIN, else the one that was built."""
    binary = PROJECT / os.environ.get("JAEGER_BIN", "target/jaeger")
    assert binary.is_file(), f"there is no {binary}: build it ({_BUILD} {_PACKAGE})"
    return binary
