"""The Prometheus text format, as much of it as the tests read."""

import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One reading of `/metrics`."""

    def __init__(self, text):
        self._samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                match = _SAMPLE.match(line)
                assert match, f"not a sample of the text format: {line!r}"
                name, labels, value = match.groups()
                self._samples.append((name, dict(_LABEL.findall(labels or "")), float(value)))

    def sum(self, name, **labels):
        """The sum over all samples of a metric that carry these labels."""
        wanted = labels.items()
        return sum(v for n, found, v in self._samples if n == name and wanted <= found.items())


@dataclass(frozen=True)
class Books:
    """Where the spans of a sidecar are, as one destination counts them."""

    created: int
    exported: int
    dropped: int
    queued: int
    recovered: int = 0
    """Spans of earlier lives that were on disk at the start."""
    spooled: int = 0
    """Spans that are on disk."""

    @classmethod
    def read(cls, metrics, destination="otlp"):
        """The books of a destination."""

        def number(name):
            return int(metrics.sum(f"spandrel_spans_{name}", destination=destination))

        return cls(
            created=int(metrics.sum("spandrel_spans_created_total")),
            exported=number("exported_total"),
            dropped=number("dropped_total"),
            queued=number("queued"),
            recovered=number("recovered_total"),
            spooled=number("spooled"),
        )

    @property
    def waiting(self):
        """The spans of which nothing is decided yet."""
        return self.queued + self.spooled

    def assert_balanced(self):
        """created + recovered = exported + dropped + queued + spooled."""
        known = self.exported + self.dropped + self.waiting
        assert self.created + self.recovered == known, self
