"""What every cache is: the protocol, what it may hold, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headrace.core.fingerprint import Key
    from headrace.core.response import APIResponse


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a cache did since it was made; ``errors`` counts the gets and puts lost to trouble."""

    hits: int = 0
    misses: int = 0
    stored: int = 0
    errors: int = 0


class Cache(Protocol):
    """What remembers answers. It keeps its troubles to itself: a miss, or a put that is dropped.

    Used from several event loops and threads. ``key`` stands for the request and for the model and
    endpoint that answer it; an answer may be handed out only where the whole ``digest`` is equal.
    """

    async def get(self, key: Key) -> APIResponse[object] | None:
        """The answer as it was put, without the fields of a row; None is a miss."""

    async def put(self, key: Key, response: APIResponse[object]) -> None:
        """Remember an answer; the last one under a key wins. See ``is_storable``."""

    async def aclose(self) -> None:
        """Return when all that was put is safe."""


def is_storable(response: APIResponse[object]) -> bool:
    """Is this a whole answer? Failures and what was cut or blocked are never remembered."""
    return response.error is None and response.finish_reason not in ("length", "filtered")
