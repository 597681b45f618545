"""Readers that travel between processes, though what they hold inside cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What ``make`` made of the caller's own type or function: it reads a text.

    Pickled or copied, it is made anew of the same.
    """

    make: Callable[[Any], Callable[[str], Any]]
    of: Any
    read: Callable[[str], Any]

    def __call__(self, text: str) -> Any:  # noqa: ANN401  a value of the caller's own type
        """Read ``text``."""
        return self.read(text)

    def __reduce__(self) -> tuple[object, ...]:
        return self.make, (self.of,)
