"""The only bytes that spandrel may change: the line of the trace context, and how it must look."""

import re

from ..contexts import GOOD, SPAN, TRACE

_ID = rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01"
_LAST_LINE = re.compile(rb"\r\ntraceparent: " + _ID + rb"\r\n\r\n")
_SAME_TRACE = re.compile(rb"00-%b-(?!%b|0{16})[0-9a-f]{16}-01" % (TRACE.encode(), SPAN.encode()))
_VALUE = re.compile(_ID)
_NAME = b"traceparent"


class Context:
    """What becomes of the trace context; what is ours is taken away, and must have been there."""

    is_ours = True
    """Whether there is to be something of ours in each request."""

    def less_ours(self, received):
        """The bytes that a server received, as they would have come directly."""
        raise NotImplementedError

    def count_ours(self, received):
        """In how many places the bytes are ours."""
        raise NotImplementedError

    def lines_less_ours(self, lines):
        """The same for the header list of HTTP/2, and in how many places it was ours."""
        raise NotImplementedError


class _Added(Context):
    """The line comes last in the head, spelled in lower case."""

    def less_ours(self, received):
        return _LAST_LINE.sub(b"\r\n\r\n", received)

    def count_ours(self, received):
        return len(_LAST_LINE.findall(received))

    def lines_less_ours(self, lines):
        if not lines or lines[-1][0] != _NAME or not _VALUE.fullmatch(lines[-1][1]):
            return lines, 0
        return lines[:-1], 1


class _Rewritten(Context):
    """The line keeps its place, the spelling of its name, its white space and its trace."""

    def less_ours(self, received):
        return _SAME_TRACE.sub(GOOD.encode(), received)

    def count_ours(self, received):
        return len(_SAME_TRACE.findall(received))

    def lines_less_ours(self, lines):
        rewritten, count = [], 0
        for name, value, *rest in lines:
            if name == _NAME and _SAME_TRACE.fullmatch(value):
                value, count = GOOD.encode(), count + 1
            rewritten.append((name, value, *rest))
        return rewritten, count


class _Untouched(Context):
    """Nothing is ours."""

    is_ours = False

    def less_ours(self, received):
        return received

    def count_ours(self, received):
        return 0

    def lines_less_ours(self, lines):
        return lines, 0


ADDED, REWRITTEN, UNTOUCHED = _Added(), _Rewritten(), _Untouched()
