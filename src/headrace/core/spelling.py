"""Which known name an unknown one was meant to be."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


_FEW: Final = 12
# Fewer letters begin many names, and say nothing about which was meant.
_TELLING: Final = 3
_ALIKE: Final = 0.75


def near(word: str, known: Iterable[str]) -> str | None:
    """The known name that ``word`` cuts short or misspells; None where there is none like it."""
    names = list(known)
    longer = [name for name in names if len(word) >= _TELLING and name.startswith(word)]
    return next(iter(longer or difflib.get_close_matches(word, names, 1, _ALIKE)), None)


def meant(word: str, known: Iterable[str], instead: str | None = None) -> str:
    """The end of a sentence about an unknown name: what to do instead, or all that there are."""
    names = sorted(known)
    if instead is None and (like := near(word, names)) is not None:
        instead = f"did you mean {like}?"
    is_short = instead is None or len(names) <= _FEW
    there_are = f" (there are {', '.join(names)})" if names and is_short else ""
    return there_are if instead is None else f"; {instead}{there_are}"
