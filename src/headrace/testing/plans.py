"""Plans say which request meets which fault: any ``(RequestSeen) -> Fault | None`` will do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from headrace.testing.faults import Fault
    from headrace.testing.seen import RequestSeen

Plan: TypeAlias = "Callable[[RequestSeen], Fault | None]"


class Sequence:
    """The first request meets the first fault, and so on; None and all after the end go well."""

    def __init__(self, faults: Iterable[Fault | None]) -> None:
        """Keep the order of arrival: the n-th request at the server meets the n-th fault."""
        self._faults = tuple(faults)

    def __call__(self, seen: RequestSeen) -> Fault | None:
        """The fault for this request, if any."""
        return self._faults[seen.n] if seen.n < len(self._faults) else None


class Random:
    """Each fault for its share of all requests, drawn from a seed, the prompt and its repetition.

    The draw does not depend on the order of arrival, so that a run meets the same faults again.
    Raises ``ValueError`` for shares that are negative or more than 1 together.
    """

    def __init__(self, seed: int, shares: Mapping[Fault, float]) -> None:
        """``shares``: a number from 0 to 1 for each fault."""
        total = sum(shares.values())
        if not total <= 1 + 1e-9 or any(not share >= 0 for share in shares.values()):
            msg = f"the shares of faults must be from 0 to 1 together, not {total}"
            raise ValueError(msg)
        self._seed = seed
        self._shares = tuple(shares.items())

    def __call__(self, seen: RequestSeen) -> Fault | None:
        """The fault for this request, if any."""
        place = _draw(f"{self._seed}/{seen.nth}/{seen.prompt}")
        for fault, share in self._shares:
            place -= share
            if place < 0:
                return fault
        return None


def per_prompt(
    faults: Mapping[str, Iterable[Fault | None]] | Iterable[Fault | None],
) -> Plan:
    """The n-th request *with the same prompt* meets the n-th fault; all after that go well.

    A mapping names the prompts that meet faults; a plain iterable is met by each prompt.
    """
    if isinstance(faults, Mapping):
        named = {prompt: tuple(row) for prompt, row in faults.items()}
        return lambda seen: _at(named.get(seen.prompt, ()), seen.nth)
    row = tuple(faults)
    return lambda seen: _at(row, seen.nth)


def _at(faults: tuple[Fault | None, ...], nth: int) -> Fault | None:
    return faults[nth] if nth < len(faults) else None


def _draw(text: str) -> float:
    """A number from 0 up to 1 that looks random and is the same for the same text."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
