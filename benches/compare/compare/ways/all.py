"""Every way there is, by name."""

from ..scenarios import DEAD, HAPROXY, NOT_TRACED, RELAY, SPANDREL, TRACED_ENVOY
from .envoy import Envoy
from .haproxy import HaProxy
from .nginx import Nginx
from .spandrel import SETTINGS, Spandrel
from support.ports import HOST

BATCH = 512
"""Spans that Envoy may send together: as many as spandrel does."""


class Ways:
    """Starts ways that lead to a backend; those that trace, to a collector."""

    def __init__(self, backend, collector, dead):
        self.backend = backend
        endpoint, nowhere = (f"http://{HOST}:{port}" for port in (collector.port, dead.number))

        self._endpoint = endpoint

        def spandrel(what, where=endpoint):
            return lambda name, folder: Spandrel(name, folder, backend, where, SETTINGS[what])

        def envoy(*more):
            return lambda name, folder: Envoy(name, folder, backend, *more)

        self._makers = {
            SPANDREL: spandrel("100 %"),
            **dict(zip(NOT_TRACED, map(spandrel, ("1 %", "0 %", "off")), strict=True)),
            DEAD: spandrel("100 %", nowhere),
            RELAY: lambda _, folder: HaProxy("tcp", folder, backend),
            HAPROXY: lambda _, folder: HaProxy("http", folder, backend),
            "nginx": lambda _, folder: Nginx(folder, backend),
            "Envoy": envoy(),
            TRACED_ENVOY: envoy(collector),
            f"Envoy, traced, batches of {BATCH}": envoy(collector, BATCH),
        }

    def start(self, name, folder):
        """Starts one; the direct way is there already."""
        if name == self.backend.name:
            return self.backend
        folder.mkdir(parents=True)
        return self._makers[name](name, folder)

    def spandrel(self, name, folder, settings, backend=None):
        """Starts a spandrel that is set otherwise, perhaps in front of something else."""
        folder.mkdir(parents=True)
        return Spandrel(name, folder, backend or self.backend, self._endpoint, settings)
