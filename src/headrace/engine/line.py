"""Those who wait with the same order, by their numbers."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.engine.admission import Waiter


class Line:
    """A queue: nearly all who come have a higher number than those before, and stand behind them.

    So it costs the same however long it is. Only who comes again, with an old number, is sorted in.
    """

    __slots__ = ("_again", "_behind")

    def __init__(self) -> None:
        self._behind = deque["Waiter"]()
        self._again: list[Waiter] = []

    def add(self, waiter: Waiter) -> None:
        """Let ``waiter`` stand in line."""
        if self._behind and waiter.number < self._behind[-1].number:
            heappush(self._again, waiter)
        else:
            self._behind.append(waiter)

    def first(self) -> Waiter | None:
        """The first who has not gone; those before it are dropped."""
        behind, again = self._behind, self._again
        while behind and behind[0].gone:
            behind.popleft()
        while again and again[0].gone:
            heappop(again)
        if again and (not behind or again[0] < behind[0]):
            return again[0]
        return behind[0] if behind else None

    def __iter__(self) -> Iterator[Waiter]:
        """All of them, and those who have gone and were not dropped yet."""
        return chain(self._behind, self._again)
