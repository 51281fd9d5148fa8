"""HTTP/2 through spandrel is what it is without, stream by stream."""

import pytest

from support.transparency.compare import Play
from support.transparency.frames import WINDOW, Frames
from support.transparency.http2 import CASES
from support.transparency.http2.parts import request, response
from support.transparency.script import PATHS, client
from support.transparency.stage import Stage

LARGE = 4 << 20
"""Bytes that do not fit into the windows of three connections in a row."""
MOST_ON_ITS_WAY = 1 << 20

_PLAYS = {}


@pytest.mark.parametrize(
    ("case", "path"),
    [pytest.param(case, path, id=f"{case}-{path}") for case in CASES for path in case.paths],
)
def test_http2_is_as_it_would_be_directly(scripted_server, ways, case, path):
    if case.title not in _PLAYS:
        _PLAYS[case.title] = Play(scripted_server, case, Frames)
    _PLAYS[case.title].over(ways[path])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("slow", ["server", "client"])
def test_who_gives_no_windows_slows_who_writes(scripted_server, ways, path, slow):
    body = bytes(range(256)) * (LARGE // 256)
    with Stage(scripted_server, ways[path], Frames) as stage:
        stage.play(client.heads(1, request(method="POST")))
        stage.turns_until(lambda: stage.servers, "a request")
        [near], [far] = stage.clients, stage.servers
        far.heads(1, response())
        reader, writer = (near, far) if slow == "client" else (far, near)
        reader.withholds_windows()
        writer.sends(1, body)
        stage.turns_until_nothing_moves(writer)
        assert reader.count_body(1) == WINDOW
        assert writer.count_waiting() > LARGE - MOST_ON_ITS_WAY
        reader.gives_windows()
        stage.turns_until(lambda: reader.count_body(1) == LARGE, "the whole body")
