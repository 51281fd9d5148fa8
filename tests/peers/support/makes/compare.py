"""Taking away what must differ between one way and another, and telling what else does."""

import re

_CONTEXT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\Z")
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\Z")
_RANDOM = {"sec-websocket-key", "sec-websocket-accept"}
_LINES = ("headers", "trailers")
_MOST = 300


def plain(what, authority):
    """What was told, less the authority that was asked, dates, and random keys of WebSockets."""
    if isinstance(what, dict):
        return {key: plain(value, authority) for key, value in what.items()}
    if isinstance(what, list) and len(what) == 2 and all(isinstance(one, str) for one in what):
        return _plain_line(what, authority)
    if isinstance(what, list):
        return [plain(one, authority) for one in what]
    return what.replace(authority, "ORIGIN") if isinstance(what, str) else what


def _plain_line(line, authority):
    name, value = line
    lower = name.lower()
    if lower == "date" and _DATE.match(value):
        return [name, "DATE"]
    if lower in _RANDOM:
        return [name, "RANDOM"]
    return [name, value.replace(authority, "ORIGIN")]


def without_context(report):
    """A request that the origin saw, less its trace context; None if it has not exactly one."""
    is_context = [name.lower() == "traceparent" for name, _ in report["headers"]]
    contexts = [line for line, is_one in zip(report["headers"], is_context, strict=True) if is_one]
    if len(contexts) != 1 or not _CONTEXT.match(contexts[0][1]):
        return None
    rest = [line for line, is_one in zip(report["headers"], is_context, strict=True) if not is_one]
    return report | {"headers": rest}


def as_http2(what, is_shuffled):
    """What was told, less what HTTP/2 leaves open.

    That is the order of pseudo-header fields (RFC 9113, section 8.3), the place of repeats among
    other names (RFC 9110, section 5.3), and how much of a response that is reset is still read.
    Where the client shuffles names, their order says nothing.
    """
    if isinstance(what, list):
        return [as_http2(one, is_shuffled) for one in what]
    if not isinstance(what, dict):
        return what
    if what.get("error"):
        return {"error": what["error"]}
    return {
        key: _gathered(value, is_shuffled) if key in _LINES else as_http2(value, is_shuffled)
        for key, value in what.items()
    }


def _gathered(lines, is_shuffled):
    pseudo = sorted(line for line in lines if line[0].startswith(":"))
    rest = [line for line in lines if not line[0].startswith(":")]
    if is_shuffled:
        return pseudo + sorted(rest)
    names = [name.lower() for name, _ in rest]
    return pseudo + sorted(rest, key=lambda line: names.index(line[0].lower()))


def relabelled(reports):
    """Reports in the order of their targets, with connections named by which was first."""
    names = {}
    for report in reports:
        names.setdefault(report["peer"], len(names))
    told = [report | {"peer": names[report["peer"]]} for report in reports]
    return sorted(told, key=lambda report: report["target"])


def differences(direct, other, at=""):
    """Sentences that say where two things that were told differ."""
    if direct == other:
        return []
    if isinstance(direct, dict) and isinstance(other, dict):
        keys = [*direct, *(key for key in other if key not in direct)]
        pairs = [(f"{at}.{key}", direct.get(key), other.get(key)) for key in keys]
    elif isinstance(direct, list) and isinstance(other, list) and len(direct) == len(other):
        indexed = enumerate(zip(direct, other, strict=True))
        pairs = [(f"{at}[{index}]", one, two) for index, (one, two) in indexed]
    else:
        return [f"{at}: {_short(direct)} directly, {_short(other)} through spandrel"]
    return [text for place, one, two in pairs for text in differences(one, two, place)]


def _short(what):
    text = repr(what)
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."
