"""The table of HTTP/1.x."""

from . import connections, deviating, heads, requests, responses

CASES = [
    *heads.CASES,
    *requests.CASES,
    *responses.CASES,
    *connections.CASES,
    *deviating.CASES,
]
