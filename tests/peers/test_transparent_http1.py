"""HTTP/1.x through spandrel is what it is without, to the byte."""

import pytest

from support.transparency.compare import Play
from support.transparency.http1 import CASES
from support.transparency.http1.parts import get, ok
from support.transparency.script import PATHS, client
from support.transparency.stage import Stage

LARGE = 48 << 20
"""Bytes that do not fit into the buffers of the system, of three connections in a row."""
LEAST_HELD_BACK = 4 << 20

_PLAYS = {}


@pytest.mark.parametrize(
    ("case", "path"),
    [pytest.param(case, path, id=f"{case}-{path}") for case in CASES for path in case.paths],
)
def test_http1_is_as_it_would_be_directly(scripted_server, ways, case, path):
    if case.title not in _PLAYS:
        _PLAYS[case.title] = Play(scripted_server, case)
    _PLAYS[case.title].over(ways[path])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("slow", ["server", "client"])
def test_who_reads_slowly_slows_who_writes(scripted_server, ways, path, slow):
    body = bytes(range(256)) * (LARGE // 256)
    with Stage(scripted_server, ways[path]) as stage:
        stage.play(client.sends(get(f"Content-Length: {LARGE}", method="POST")))
        stage.turns_until(lambda: stage.servers, "a request")
        [near], [far] = stage.clients, stage.servers
        reader, writer = (near, far) if slow == "client" else (far, near)
        reader.stops_reading()
        writer.sends(body if slow == "server" else ok(body=body))
        stage.turns_until_nothing_moves(writer)
        assert writer.count_waiting() > LEAST_HELD_BACK
        reader.reads_again()
        stage.turns_until(lambda: reader.received.endswith(body), "the whole body")
