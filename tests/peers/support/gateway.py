"""An OpenTelemetry Collector of its published modules, as a gateway to another receiver."""

import os
import subprocess
import urllib.request

import yaml

from .collector import GRPC, HTTP
from .jaeger import END, PROJECT, START
from .ports import HOST, free_port
from .waiting import eventually

_BUILD = "go -C tests/peers/gateway build -o ../../../target/gateway"


class Gateway:
    """A running Collector; sidecars take it for theirs."""

    def __init__(self, folder, behind):
        """Sends on to the gRPC endpoint of the receiver behind."""
        self._ports = {GRPC: free_port(), HTTP: free_port()}
        self._log = folder / "gateway.log"
        config = folder / "gateway.yaml"
        config.write_text(yaml.safe_dump(self._config(behind.endpoint(GRPC))))
        binary = PROJECT / os.environ.get("GATEWAY_BIN", "target/gateway")
        assert binary.is_file(), f"there is no {binary}: build it ({_BUILD})"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [binary, "--config", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            eventually(self._is_ready, lambda: f"the gateway; it said:\n{self.said()}", START)
        except BaseException:
            self._process.kill()
            raise

    def endpoint(self, protocol):
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://{HOST}:{self._ports[GRPC if protocol == GRPC else HTTP]}"

    def said(self):
        """What it has said."""
        return self._log.read_text(errors="replace")

    def close(self):
        """Ends it."""
        self._process.terminate()
        self._process.wait(END)

    def _config(self, behind):
        receivers = {name: {"endpoint": f"{HOST}:{self._ports[of]}"}
                     for name, of in (("grpc", GRPC), ("http", HTTP))}  # fmt: skip
        on = {"endpoint": behind.removeprefix("http://"), "tls": {"insecure": True}}
        pipeline = {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["otlp"]}
        return {
            "receivers": {"otlp": {"protocols": receivers}},
            "processors": {"batch": {"timeout": "100ms"}},
            "exporters": {"otlp": on},
            "service": {
                "pipelines": {"traces": pipeline},
                "telemetry": {"metrics": {"level": "none"}},
            },
        }

    def _is_ready(self):
        assert self._process.poll() is None, f"the gateway has ended:\n{self.said()}"
        request = urllib.request.Request(
            f"{self.endpoint(HTTP)}/v1/traces",
            data=b"",
            headers={"content-type": "application/x-protobuf"},
        )
        no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            return no_proxy.open(request, timeout=5).status == 200
        except OSError:
            return False
