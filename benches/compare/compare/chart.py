"""A chart of the processor time per request, as SVG."""

from html import escape

from .scenarios import SPANDREL

WIDTH, LEFT, RIGHT = 760, 220, 70
BAR, GAP, TITLE = 20, 6, 34
OURS, OTHERS, TEXT = "#1f6f8b", "#b8bec4", "#24292f"
CHARTS = (
    ("http1", "HTTP/1.1, 64 connections, 1 KiB: processor µs per request"),
    ("http2", "HTTP/2, 64 streams, 1 KiB: processor µs per request"),
    ("grpc", "gRPC, 64 calls, unary: processor µs per request"),
)


def draw(found):
    """Draws the scenarios of CHARTS that were run."""
    parts, y = [], 10
    for name, title in CHARTS:
        costs = {way: c.median.processor for way, c in found.costs(name).items() if way != "direct"}
        if costs:
            parts.append(_text(10, y + 18, title, weight="bold"))
            y += TITLE
            y = _bars(parts, costs, y) + 2 * GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>\n{"".join(parts)}</svg>\n'
    )


def _bars(parts, costs, y):
    scale = (WIDTH - LEFT - RIGHT) / max(costs.values())
    for name, value in sorted(costs.items(), key=lambda item: item[1]):
        color = OURS if name == SPANDREL else OTHERS
        width = value * scale
        parts.append(_text(LEFT - 8, y + 15, name, anchor="end"))
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{color}"/>\n'
        )
        parts.append(_text(LEFT + width + 6, y + 15, f"{value:.1f}"))
        y += BAR + GAP
    return y


def _text(x, y, text, anchor="start", weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{TEXT}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>\n'
    )
