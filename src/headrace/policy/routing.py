"""Which model and route answer: drawn from the request itself, so that a resume draws the same."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def draw(weights: Sequence[float], digest: bytes, occurrence: int, seed: int) -> int:
    """The index of the drawn weight, a function of the request's digest, occurrence and seed."""
    material = b"%b.%d.%d" % (digest, occurrence, seed)
    chance = int.from_bytes(hashlib.sha256(material).digest()[:8]) / 2**64
    steps = list(accumulate(weights))
    # Rounding may reach the very end; the last step that leads there has a weight.
    return min(bisect_right(steps, chance * steps[-1]), bisect_left(steps, steps[-1]))


def nearness(opening: str, route: str) -> int:
    """How near a route is to conversations with this opening; the nearest one is to have them.

    A route that comes or goes changes that for its own share alone (rendezvous hashing).
    """
    return int.from_bytes(hashlib.sha256(f"{opening} {route}".encode()).digest()[:8])
