"""Clients and origins of many makes: nothing is other through spandrel than directly.

Every client asks every origin that speaks its version the same things, once directly and then
through the inbound side, the outbound side, and both. What either end tells of it is compared.
"""

from contextlib import closing

import pytest

from support.makes.bench import Bench, Way
from support.makes.compare import as_http2, differences
from support.makes.matrix import CLIENTS, ORIGINS, PAIRS, scenarios_of
from support.makes.meddler import MEDDLINGS, Meddler
from support.makes.scenarios import MEBIBYTE, SCENARIOS
from support.ports import HOST

_MOST_TOLD = 40
"""Differences that a failure tells of."""


@pytest.fixture(scope="module")
def bench(module_sidecar, tmp_path_factory):
    """All the makes, running."""
    with Bench(module_sidecar, tmp_path_factory.mktemp("makes")) as bench:
        yield bench


def sentence(pair):
    """What a pair is called."""
    client, origin = pair
    return f"{client.name} asks {origin.name}"


@pytest.mark.parametrize("pair", PAIRS, ids=sentence)
def test_nothing_is_other_through_spandrel_where(bench, pair):
    direct = bench.run(*pair, bench.direct(pair[1]))
    found = []
    for way in bench.ways(*pair):
        found += bench.compare(*pair, direct, bench.run(*pair, way))
    assert not found, "\n".join(["", *found[:_MOST_TOLD]])


def test_directly_every_scenario_is_what_it_says(bench):
    seen = {}
    for name in ("Node", "aiohttp"):
        client, origin = pair_of(name, name)
        outcome = bench.run(client, origin, bench.direct(origin))
        for scenario in scenarios_of(client, origin, SCENARIOS):
            result = outcome.client[scenario.name][-1]
            assert len(outcome.origin[scenario.name]) == scenario.seen, scenario.name
            assert ("error" in result) == ("breaks off" in scenario.name), (scenario.name, result)
            seen.setdefault(scenario.name, (result, outcome.origin[scenario.name]))
    assert seen["an interim response"][0]["interim"][0]["status"] == 103
    assert seen["trailers of a response"][0]["trailers"][0] == ["X-Sum", "17"]
    assert seen["trailers of a request"][1][0]["trailers"][0] == ["X-Sum", "3000"]
    assert seen["a mebibyte each way"][0]["body"]["length"] == MEBIBYTE
    assert seen["a mebibyte each way"][1][0]["body"] == seen["a mebibyte each way"][0]["body"]
    assert seen["names of odd spelling"][1][0]["headers"].count(["X-ODD-Case", "One"]) == 1
    assert seen["a client that leaves in the middle"][1][0]["ended"] == "left"
    assert seen["a protocol that is switched to"][0]["body"]["length"] == 20_000
    assert seen["a WebSocket"][0]["body"]["how"] == "spoken 15 1000"
    assert seen["a WebSocket"][1][0]["ended"] == "closed 1001"
    in_a_row = seen["several requests in a row"][1]
    assert len({report["peer"] for report in in_a_row}) == 1


def test_the_table_is_wide():
    assert len({client.name for client in CLIENTS}) >= 8
    assert len({(origin.name, origin.version) for origin in ORIGINS}) >= 8
    asked = [len(scenarios_of(*pair, SCENARIOS)) for pair in PAIRS]
    assert (len(PAIRS), min(asked) >= 28, sum(asked) >= 2_000) == (76, True, True), sum(asked)
    for scenario in SCENARIOS:
        assert any(scenario in scenarios_of(*pair, SCENARIOS) for pair in PAIRS), scenario.name


@pytest.mark.parametrize("name", MEDDLINGS)
def test_a_proxy_is_found_out_if_and_only_if_it_meddles(bench, loop, name):
    client, origin = pair_of("Node", "Node")
    expected = MEDDLINGS[name].scenario
    asked = [scenario for scenario in SCENARIOS if expected in (None, scenario.name)]
    direct = bench.run(client, origin, bench.direct(origin), asked)
    with closing(Meddler(loop, bench.port_of(origin), MEDDLINGS[name])) as meddler:
        way = Way("a proxy that meddles", f"{HOST}:{meddler.port}")
        found = bench.compare(client, origin, direct, bench.run(client, origin, way, asked))
    assert bool(found) == bool(expected), found


@pytest.mark.parametrize(
    ("told", "is_same"),
    [
        ([[":path", "/"], [":method", "GET"], ["a", "1"], ["a", "3"], ["b", "2"]], True),
        ([[":method", "GET"], [":path", "/"], ["a", "3"], ["b", "2"], ["a", "1"]], False),
        ([[":method", "GET"], [":path", "/"], ["b", "2"], ["a", "1"], ["a", "3"]], False),
        ([[":method", "GET"], [":path", "/"], ["a", "1"], ["b", "2"]], False),
        ([[":method", "GET"], [":path", "/x"], ["a", "1"], ["b", "2"], ["a", "3"]], False),
    ],
    ids=["repeats together", "repeats swapped", "names swapped", "a repeat lost", "another path"],
)
def test_of_http_2_only_what_it_leaves_open_is_overlooked(told, is_same):
    direct = {"headers": [[":method", "GET"], [":path", "/"], ["a", "1"], ["b", "2"], ["a", "3"]]}
    other = as_http2({"headers": told}, is_shuffled=False)
    found = differences(as_http2(direct, is_shuffled=False), other)
    assert (found == []) == is_same, found


def pair_of(client, origin):
    """The first pair of these names."""
    return next(pair for pair in PAIRS if [make.name for make in pair] == [client, origin])
