"""Refusals that do not become fewer when less is sent are for something else. Pure.

A limit shows itself: after a cut more of what is sent is taken, and soon all of it. Where refusals
go on in the same proportion, cut after cut (one machine of many is overloaded, or dice are thrown),
sending less is of no use and would end at nothing.
"""

from __future__ import annotations

from typing import Final

# So many cuts, soon after each other, before anybody doubts; half of them are compared with the
# other half.
CUTS: Final = 8
# Where there are more answers to a cut, a level comes back as soon as it falls.
RARE: Final = 75
# Fewer say nothing of a proportion.
ENOUGH: Final = 40
# How much larger the part that is taken has become when cutting is of use.
BETTER: Final = 1.2
# Where less is taken, it is a limit or an outage.
MOSTLY: Final = 0.5


class Doubt:
    """Watches what becomes of cuts."""

    __slots__ = ("_answers", "_epochs", "_levels", "_refusals", "is_sure")

    def __init__(self) -> None:
        self._answers = self._refusals = 0
        # Answers and refusals of each epoch of this series.
        self._epochs: list[tuple[int, int]] = []
        self._levels: list[tuple[float, float]] = []
        self.is_sure = False

    @property
    def before(self) -> tuple[float, float]:
        """What the rate and the slots were when the series began."""
        return self._levels[0]

    def answer(self) -> None:
        """A request was taken."""
        self._answers += 1

    def refuse(self) -> None:
        """A request was refused."""
        self._refusals += 1

    def storm(self, rate: float, slots: float) -> bool:
        """A new storm, at this rate with so many slots; True where a cut is of use, as usual."""
        epoch, self._answers, self._refusals = (self._answers, self._refusals), 0, 0
        self._epochs.append(epoch)
        self._levels.append((rate, slots))
        del self._epochs[:-CUTS], self._levels[:-CUTS]
        answers = sum(answers for answers, _ in self._epochs)
        if len(self._epochs) < CUTS or not ENOUGH <= answers <= CUTS * RARE:
            self.is_sure = False
            return True
        earlier, later = _taken(self._epochs[: CUTS // 2]), _taken(self._epochs[CUTS // 2 :])
        self.is_sure = later >= MOSTLY and later <= earlier * BETTER
        return not self.is_sure


def _taken(epochs: list[tuple[int, int]]) -> float:
    """Which part was taken."""
    answers, refusals = sum(a for a, _ in epochs), sum(r for _, r in epochs)
    return answers / (answers + refusals) if answers + refusals else 0.0
