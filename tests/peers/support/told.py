"""Spans as an SDK tells of them before it sends them, and as `view` must answer them.

What an SDK tells is a mapping per span, the same for every language: `id` and `parent` in
hexadecimal, `name`, `kind`, `service`, `status`, `status_message`, `scope`, `start` and `end` in
nanoseconds, `attributes` and `resource` as pairs in their order, `events` and `links`.
"""

import json
import math

SAFE = 2**53
"""Whole numbers beyond this are answered as texts: a script would round them."""


def assert_answered(trace, told):
    """The spans of an answer are those that were told of, and nothing else, to the letter."""
    begin = min(span["start"] for span in told)
    assert trace["spans_total"] == len(told)
    assert trace["start_us"] == begin // 1_000
    answered = {span["id"]: span for span in trace["spans"]}
    assert sorted(answered) == sorted(span["id"] for span in told)
    for span in told:
        for field, expected in _line(span, begin).items():
            found = answered[span["id"]][field]
            # As texts, 1 differs from 1.0 and from true.
            assert json.dumps(found) == json.dumps(expected), f"{field} of {span['name']}"


def _line(span, begin):
    same = ("id", "parent", "name", "kind", "service", "status", "status_message", "scope")
    return {field: span[field] for field in same} | {
        "start_us": _micros(span["start"] - begin),
        "duration_us": _micros(span["end"] - span["start"]),
        "attributes": _pairs(span["attributes"]),
        "resource": _pairs(span["resource"]),
        "events": [
            {
                "name": event["name"],
                "at_us": _micros(event["time"] - begin),
                "attributes": _pairs(event["attributes"]),
            }
            for event in span["events"]
        ],
        "links": [link | {"attributes": _pairs(link["attributes"])} for link in span["links"]],
    }


def _micros(nanoseconds):
    return nanoseconds / 1_000


def _pairs(pairs):
    return [[key, _value(value)] for key, value in pairs]


def _value(value):
    if type(value) is int and abs(value) > SAFE:
        return str(value)
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, tuple)):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    return value
