"""spandrel, with what it records and where it sends that."""

import urllib.request

import yaml

from ..process import Program
from support.metrics import Books, Metrics
from support.ports import HOST, free_port
from support.sidecar import find_binary, inherited

SETTINGS = {
    "100 %": {},
    "1 %": {"sampling": {"sampler": "parentbased_traceidratio", "ratio": 0.01}},
    "0 %": {"sampling": {"sampler": "parentbased_always_off"}},
    "off": {"export": {"enabled": False}},
}
"""What is recorded, by name."""


class Spandrel:
    """spandrel in front of the backend: one for its port of HTTP/1.1, one for that of HTTP/2."""

    def __init__(self, name, folder, backend, endpoint, settings):
        self.name = name
        self._all = {}
        try:
            for protocol in ("http1", "http2"):
                inside = folder / protocol
                inside.mkdir()
                one = Sidecar(inside, getattr(backend, protocol), endpoint, settings)
                self._all[protocol] = one
        except BaseException:
            self.close()
            raise
        self.http1, self.http2 = (one.port for one in self._all.values())
        self.outbound = self._all["http1"].outbound
        self.took = self._all["http1"].took

    def pids(self, protocol):
        """The process that serves a protocol."""
        return [self._all[protocol].pid]

    def books(self):
        """The books of each."""
        return [one.books() for one in self._all.values()]

    def close(self):
        """Ends them."""
        for one in self._all.values():
            one.close()


class Sidecar(Program):
    """One `spandrel run`."""

    def __init__(self, folder, app, endpoint, settings):
        self.port, self._admin = free_port(), free_port()
        self.outbound = free_port() if "outbound" in settings else None
        path = folder / "spandrel.yaml"
        export = {"otlp": {"endpoint": endpoint, "protocol": "http/protobuf"}}
        tree = {
            "service": {"name": "backend"},
            "inbound": {"listen": f"{HOST}:{self.port}", "app": f"{HOST}:{app}"},
            "export": export | settings.get("export", {}),
            "admin": {"listen": f"{HOST}:{self._admin}"},
        }
        if self.outbound:
            tree["outbound"] = {"listen": f"{HOST}:{self.outbound}"}
        path.write_text(yaml.safe_dump(settings | tree))
        super().__init__([find_binary(), "run", "--config", path], folder, inherited())
        self.wait_for(self.port)

    def books(self):
        """A reading of its books."""
        url = f"http://{HOST}:{self._admin}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return Books.read(Metrics(answer.read().decode()))
