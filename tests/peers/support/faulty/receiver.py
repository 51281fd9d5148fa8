"""The test's end of a receiver that fails on demand."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ..collector import GRPC, HTTP
from ..ports import HOST, ReservedPort

HTTP_JSON = "http/json"
"""The protocol that the first collector of the tests does not speak."""

_PEERS = Path(__file__).resolve().parents[2]
_END = 10.0


class FaultReceiver:
    """The receiver as a process; takes the place of a collector."""

    def __init__(self, tls=None, notes=False):
        """With a folder of certificates there is TLS; with `notes` paths and delays are kept."""
        self._ports = {protocol: ReservedPort() for protocol in (GRPC, HTTP)}
        self._tls = tls
        ports = ["--grpc", str(self._ports[GRPC].number), "--http", str(self._ports[HTTP].number)]
        more = (["--tls", str(tls)] if tls else []) + (["--notes"] if notes else [])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.faulty.process", *ports, *more],
            cwd=_PEERS,
            env=os.environ | {"GRPC_VERBOSITY": "NONE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._hear() == {"ready": True}

    def endpoint(self, protocol, host=None):
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        port = self._ports[GRPC if protocol == GRPC else HTTP].number
        if self._tls:
            return f"https://{host or 'localhost'}:{port}"
        return f"http://{host or HOST}:{port}"

    @property
    def authority(self):
        """The certificate to trust."""
        return str(self._tls / "ca.pem")

    def switch(self, mode, **how):
        """Changes what is wrong, once what was decided before is answered."""
        self._tell("switch", mode=mode, **how)

    def report(self):
        """What it was offered and took."""
        return self._tell("report")

    def paths(self):
        """How often each path was taken and acknowledged, where that is noted."""
        return self._tell("paths")

    def forget_delays(self):
        """Begins to note delays anew."""
        self._tell("forget_delays")

    def close(self):
        """Ends it; fails if anything came that is not sound OTLP."""
        try:
            malformed = self.report()["malformed"]
        finally:
            self._process.stdin.close()
            self._process.terminate()
            self._process.wait(_END)
            self._process.stdout.close()
            for port in self._ports.values():
                port.close()
        assert not malformed, malformed

    def _tell(self, do, **how):
        self._process.stdin.write(json.dumps({"do": do, **how}) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self):
        line = self._process.stdout.readline()
        assert line, f"the receiver has ended with {self._process.wait(_END)}"
        return json.loads(line)
