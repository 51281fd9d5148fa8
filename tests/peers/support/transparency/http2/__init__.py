"""The table of HTTP/2."""

from . import bodies, deviating, heads, streams

CASES = [*heads.CASES, *bodies.CASES, *streams.CASES, *deviating.CASES]
