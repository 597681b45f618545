"""What a fake server remembers: requests, repetitions, 429s, connections."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from headrace.testing.seen import RequestSeen, Throttled


class Ledger:
    """Counts and logs; written on the server's loop, readable from any thread."""

    def __init__(self, keep: int | None) -> None:
        """``keep``: how many requests and 429s to log, None for all; 0 counts no prompts either."""
        self.keeps_prompts = keep != 0
        self.requests: deque[RequestSeen] = deque(maxlen=keep)
        self.throttled: deque[Throttled] = deque(maxlen=keep)
        self.counts: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.total = 0
        self.abandoned = 0
        self.in_flight = self.in_flight_peak = 0
        self.connections = self.connections_peak = self.connections_total = 0

    def connect(self) -> int:
        """Count a connection; its number."""
        self.connections += 1
        self.connections_peak = max(self.connections_peak, self.connections)
        self.connections_total += 1
        return self.connections_total - 1

    def begin(self, prompt: str) -> tuple[int, int]:
        """Count a request: its number, and its number among those with the same prompt."""
        n = nth = self.total
        self.total += 1
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        if self.keeps_prompts:
            nth = self.counts[prompt]
            self.counts[prompt] = nth + 1
        return n, nth

    def end(self, prompt: str, *, answered: bool) -> None:
        """A request is over, with a whole honest answer or without."""
        self.in_flight -= 1
        if answered and self.keeps_prompts:
            self.answered[prompt] += 1


def within_hints(
    requests: Iterable[RequestSeen], throttled: Iterable[Throttled], grace: float
) -> list[RequestSeen]:
    """Requests that came ``grace`` after a 429 of their scope or later, before its hint ended."""
    windows = sorted(
        ((t.at + grace, t.at + t.hint, t.scope) for t in throttled if t.hint is not None),
        key=lambda window: window[0],
    )
    quiet_until: dict[Hashable, float] = {}
    found, opened = [], 0
    for seen in sorted(requests, key=lambda seen: seen.at):
        while opened < len(windows) and windows[opened][0] < seen.at:
            _, end, scope = windows[opened]
            quiet_until[scope] = max(end, quiet_until.get(scope, -math.inf))
            opened += 1
        if seen.at < quiet_until.get(seen.scope, -math.inf):
            found.append(seen)
    return found
