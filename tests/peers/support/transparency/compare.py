"""Playing a case over a way, and comparing what is seen there with what is seen directly."""

from itertools import zip_longest

from .ends import Bytes
from .stage import DEADLINE, Stage, Stuck, direct

_AROUND = 60


class Different(AssertionError):
    """A path shows something else than the direct connection, and no deviation says so."""


class Play:
    """A case, and what both ends saw directly after each act, which is the measure of all paths."""

    def __init__(self, server, case, kind=Bytes):
        self._server = server
        self._case = case
        self._kind = kind
        self.direct = self._directly()

    def _directly(self):
        seen = []
        with self._stage(direct(self._server.port)) as stage:
            for act in self._case.acts:
                stage.play(act)
                stage.settle_directly()
                seen.append(stage.seen(self._case.context))
        return seen

    def over(self, way, deadline=DEADLINE):
        """Plays it over a way, and compares after each act.

        # Raises
        Different, with what was seen instead.
        """
        expected, requests = self._expected(way.name)
        with self._stage(way) as stage:
            for number, act in enumerate(self._case.acts):
                stage.play(act)
                self._compare(stage, expected[number], f"after act {number}, {act}", deadline)
            ours = sum(end.ours for end in stage.servers)
        if ours != requests:
            raise Different(f"{ours} lines of context are ours instead of {requests}")

    def _stage(self, way):
        return Stage(self._server, way, self._kind, self._case.settings)

    def _expected(self, path):
        """What must be seen after each act of a path, and how many lines must be ours."""
        requests = self._case.requests if self._case.context.is_ours else 0
        expected = [dict(seen) for seen in self.direct]
        for deviation in self._case.deviations:
            if path not in deviation.on:
                continue
            if deviation.requests is not None:
                requests = deviation.requests
            for instead in deviation.instead:
                for number in instead.acts:
                    if number >= len(expected):
                        break
                    key = (instead.side, instead.connection)
                    seen = expected[number].get(key, self._kind.NOTHING)
                    expected[number][key] = instead.applied_to(seen)
        return expected, requests

    def _compare(self, stage, expected, when, deadline):
        """Waits until everything expected is seen, and then sees that it is not more."""
        seen = None

        def is_as_expected():
            nonlocal seen
            if seen is None and not stage.has_received(expected):
                return False
            seen = stage.seen(self._case.context)
            return not self._differences(expected, seen)

        try:
            stage.turns_until(is_as_expected, "what is seen directly", deadline)
            stage.probe()
        except Stuck as stuck:
            seen = stage.seen(self._case.context)
            found = "\n".join(self._differences(expected, seen)) or str(stuck)
            raise Different(f"{when}\n{found}") from None
        if not is_as_expected():
            raise Different("\n".join([f"{when}, and more", *self._differences(expected, seen)]))

    def _differences(self, expected, seen):
        nothing = self._kind.NOTHING
        found = []
        for key in sorted(expected.keys() | seen.keys()):
            wanted, got = expected.get(key, nothing), seen.get(key, nothing)
            if wanted != got:
                found.append(_told(key, wanted, got))
        return found


def _told(key, wanted, got):
    side, number = key
    told = [f"{side} {number} sees a difference:"]
    if wanted.ended != got.ended:
        told.append(f"  ended: {got.ended or 'open'} instead of {wanted.ended or 'open'}")
    if wanted.received != got.received:
        told += [f"  {line}" for line in _first_difference(wanted.received, got.received)]
    return "\n".join(told)


def _first_difference(wanted, got):
    if not isinstance(wanted, bytes):
        return [f"saw         {got}", f"instead of  {wanted}"]
    at = next(i for i, (a, b) in enumerate(zip_longest(wanted, got)) if a != b)
    part = slice(max(0, at - _AROUND), at + _AROUND)
    return [f"at byte {at} saw  {got[part]!r}", f"instead of  {wanted[part]!r}"]
