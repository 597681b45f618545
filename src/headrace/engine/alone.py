"""Who shares no limits, and the way to who does, which is loaded by those alone who need it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from headrace.engine import limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.adapters.clock import Clock
    from headrace.adapters.shared import SharedLimits
    from headrace.engine.leasing import Leasing


class Alone:
    """A client whose limits are its own; see ``engine.leasing.Leasing``."""

    store = None
    is_lost = False
    limit = staticmethod(limits.alone)

    def connect(self, *parts: object) -> None:
        """There is nothing to wait for."""

    def forget(self) -> None:
        """There is nothing that a forked child might have of its parent."""

    @asynccontextmanager
    async def here(self) -> AsyncIterator[None]:
        """Nobody is asked meanwhile."""
        yield

    async def aclose(self) -> None:
        """Nothing is open."""


def sharing(store: SharedLimits | None, clock: Clock) -> Leasing | Alone:
    """One client's part in the limits of ``store``; without one it shares none."""
    if store is None:
        return Alone()
    from headrace.engine.leasing import Leasing  # noqa: PLC0415  costs all others time to import

    return Leasing(store, clock)
