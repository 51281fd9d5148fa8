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
    """Where the spans of a sidecar are."""

    created: int
    exported: int
    dropped: int
    queued: int

    @classmethod
    def read(cls, metrics):
        """The books of the OTLP destination."""
        return cls(
            created=int(metrics.sum("spandrel_spans_created_total")),
            exported=int(metrics.sum("spandrel_spans_exported_total", destination="otlp")),
            dropped=int(metrics.sum("spandrel_spans_dropped_total", destination="otlp")),
            queued=int(metrics.sum("spandrel_spans_queued", destination="otlp")),
        )

    def assert_balanced(self):
        """created = exported + dropped + queued."""
        assert self.created == self.exported + self.dropped + self.queued, self
