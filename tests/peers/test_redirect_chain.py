"""Three pods in a chain whose services pass on nothing but `x-request-id`.

What joins is shown by `test_join.py`; here neither services nor clients are told of any proxy.
"""

import pytest

from support.chain import Link, ask, check_parents, number

PORT = 8080
NAMES = ("first", "second", "third")
AT_ONCE = 200
LONG = 90
"""Seconds that all requests may take together, on a machine that has much else to do."""


@pytest.fixture
def chain(mesh, family):
    """Starts the services, each in a pod, and gives the pods: aiohttp, Node, and aiohttp."""

    def start(together):
        pods = [mesh.service(name, {"workers": 2}) for name in NAMES]
        for pod, make, following in zip(
            pods, (Link.aiohttp, Link.node, Link.aiohttp), [*pods[1:], None], strict=True
        ):
            told = {"together": together, "forward": ["x-request-id"]}
            link = make(host=pod.ip(family), port=PORT, **told)
            if following:
                link.calls(f"http://{following.host(family)}:{PORT}")
            with pod.inside():
                pod.keep(link)
        return pods

    return start


def ask_at_once(mesh, pods, family, keys):
    """Makes requests at once, one of each key, which wait for each other in each service."""
    caller = mesh.pod("caller")
    caller.loop.run(ask(f"http://{pods[0].host(family)}:{PORT}", keys), LONG)


def spans_of(mesh, pods, requests):
    """The spans of each service: of each request one, and of each call one."""
    spans = mesh.spans((2 * len(pods) - 1) * requests)
    return [[span for span in spans if span.service == pod.name] for pod in pods]


def joins(pod):
    """How many calls of a pod were joined to a request by a key, and how many could have been."""
    metrics = pod.sidecar.metrics()
    results = ("key", "ambiguous")
    return tuple(int(metrics.sum("spandrel_join_total", result=result)) for result in results)


def test_each_of_200_requests_at_once_is_one_trace_with_the_right_parents(mesh, chain, family):
    pods = chain(AT_ONCE)
    ask_at_once(mesh, pods, family, [f"key-{n}" for n in range(AT_ONCE)])
    assert [joins(pod) for pod in pods] == [(AT_ONCE, 0), (AT_ONCE, 0), (0, 0)]
    check_parents(spans_of(mesh, pods, AT_ONCE), AT_ONCE)


def test_requests_that_hold_the_same_key_are_not_joined_and_counted(mesh, chain, family):
    pods = chain(AT_ONCE)
    ask_at_once(mesh, pods, family, ["the same"] * AT_ONCE)
    assert [joins(pod) for pod in pods] == [(0, AT_ONCE), (0, AT_ONCE), (0, 0)]
    callers = {}
    for spans in spans_of(mesh, pods, AT_ONCE):
        calls = {number(span): span for span in spans if span.kind == "CLIENT"}
        assert {span.parent_id for span in calls.values()} <= {""}
        for span in spans:
            if span.kind == "SERVER":
                caller = callers.get(number(span))
                assert span.parent_id == (caller.span_id if caller else "")
        callers = calls
