"""What a receiver was offered and took, span by span."""

import time
from array import array

_OFFER, _TAKE, _LOSS = 1, 1 << 20, 1 << 40
_MASK = (1 << 20) - 1


class Ledger:
    """How often every span was offered and taken, and how often the answer to that was lost.

    A number per span holds all three, as there are hundreds of thousands of spans.
    """

    def __init__(self):
        self._spans = {}
        self._paths = {}
        self._refused_at = {}
        self._delays = array("d")
        self.soonest = None
        """The shortest time after which a refused request was offered again, in seconds."""

    def offer(self, ids):
        """Counts an offer; notes when the same request was refused last."""
        spans = self._spans
        for id in ids:
            spans[id] = spans.get(id, 0) + _OFFER
        refused = self._refused_at.pop(ids[0], None) if ids else None
        if refused is not None:
            waited = time.monotonic() - refused
            self.soonest = waited if self.soonest is None else min(waited, self.soonest)

    def refuse(self, ids):
        """Notes when a request was refused."""
        if ids:
            self._refused_at[ids[0]] = time.monotonic()

    def take(self, ids, is_lost=False):
        """Counts what was taken, and whether the answer is going to be lost."""
        step = _TAKE + _LOSS if is_lost else _TAKE
        spans = self._spans
        for id in ids:
            spans[id] += step

    def note(self, path):
        """Counts a path."""
        self._paths[path] = self._paths.get(path, 0) + 1

    def delay(self, seconds):
        """Notes how long after its end a span was taken."""
        self._delays.append(seconds)

    def forget_delays(self):
        """Begins to note delays anew."""
        del self._delays[:]

    def paths(self):
        """How often each path was taken, where they are noted."""
        return self._paths

    def report(self):
        """The numbers that tests ask for."""
        offers, takes, losses, acknowledged, twice, unheard = 0, 0, 0, 0, 0, 0
        most_offered = most_taken = 0
        for number in self._spans.values():
            offered, taken, lost = number & _MASK, (number >> 20) & _MASK, number >> 40
            heard = taken - lost
            offers, takes, losses = offers + offered, takes + taken, losses + lost
            acknowledged += heard
            twice += heard > 1
            unheard += taken > 0 and heard == 0
            most_offered, most_taken = max(most_offered, offered), max(most_taken, taken)
        delays = sorted(self._delays)
        return {
            "spans": len(self._spans),
            "offers": offers,
            "takes": takes,
            "losses": losses,
            "acknowledged": acknowledged,
            "twice": twice,
            "unheard": unheard,
            "most_offered": most_offered,
            "most_taken": most_taken,
            "soonest": self.soonest,
            "delays": len(delays),
            "delay_median": delays[len(delays) // 2] if delays else None,
            "delay_p99": delays[len(delays) * 99 // 100] if delays else None,
            "delay_most": delays[-1] if delays else None,
        }
