"""Tables whose values are imported when they are first asked for.

A program uses one dialect, or two. What the others import would make
``from headrace import LLMClient`` take longer for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K")
V = TypeVar("V")


class Loaded(Mapping[K, V]):
    """A table of names as ``pkgutil.resolve_name`` reads them, and of what they name."""

    def __init__(self, names: Mapping[K, str]) -> None:
        self._names = dict(names)
        self._found = dict[K, V]()

    def __getitem__(self, key: K) -> V:
        """Import it, if it was not yet; raises ``KeyError`` where the table has no such key."""
        if key not in self._found:
            self._found[key] = cast("V", resolve_name(self._names[key]))
        return self._found[key]

    def __contains__(self, key: object) -> bool:
        """Is it in the table? Imports nothing."""
        return key in self._names

    def __iter__(self) -> Iterator[K]:
        """The keys; imports nothing."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._names)
