"""Where what was found is put: docs/performance.md, and the chart in it."""

from . import chart
from support.sidecar import PROJECT

DOCUMENT = PROJECT / "docs/performance.md"
CHART = PROJECT / "docs/performance.svg"
BEGIN, END = "<!-- what benches/compare/run found: begin -->", "<!-- end -->"


def put(text, found):
    """Replaces what an earlier run found."""
    CHART.write_text(chart.draw(found))
    before, begun, rest = DOCUMENT.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    assert begun and ended, f"{DOCUMENT} has no place for the figures: {BEGIN} and {END}"
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
