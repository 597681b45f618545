"""How far estimates of input tokens are off for one model, learnt from what replies used.

Sums and not a mean of ratios: long prompts count for more, as they do against a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Estimated tokens that are remembered; beyond them older replies fade.
_SPAN: Final = 100_000
# So many were estimated before a ratio says something, and so many a remembered one counts for.
ENOUGH: Final = 2_000
# No prose, code or tokenizer is further from four bytes a token than this.
_MOST: Final = 4


@dataclass(frozen=True, slots=True)
class Correction:
    """The running ratio of input tokens used to input tokens estimated."""

    estimated: int = 0
    used: int = 0

    @classmethod
    def remembered(cls, ratio: float) -> Correction:
        """To begin with, from an earlier run."""
        return cls(ENOUGH, round(ENOUGH * min(max(ratio, 1 / _MOST), _MOST)))

    @property
    def ratio(self) -> float | None:
        """Tokens used for each one estimated; None where too few were seen."""
        return self.used / self.estimated if self.used and self.estimated >= ENOUGH else None

    def seen(self, estimated: int, used: int) -> Correction:
        """After a reply that used ``used`` where ``estimated`` were expected."""
        of, by = self.estimated, self.used
        if of > _SPAN:
            of, by = of // 2, by // 2
        return Correction(of + estimated, by + used)

    def of(self, tokens: int) -> int:
        """An estimate, corrected: at most four times more or less."""
        if not self.estimated or not self.used:
            return tokens
        corrected = -(-tokens * self.used // self.estimated)
        return min(max(corrected, -(-tokens // _MOST)), tokens * _MOST)
