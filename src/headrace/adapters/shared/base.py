"""What every store of shared limits is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from headrace.policy.leases import Answer, Message

PATIENCE: Final = 1.0
"""Seconds after which a store that says nothing is taken for lost."""


class SharedLimits(Protocol):
    """Where several processes keep one set of limits. ``str()`` of it stands in sentences.

    Used from several event loops and threads. ``headrace.policy.leases.Book`` has the arithmetic:
    a store of one's own need only keep one, and let one process at a time take a step of it.
    """

    async def exchange(self, message: Message) -> Answer:
        """One step of the book; raises ``OSError`` with a sentence where the store is lost.

        What was told may have been heard nevertheless: it is not told again.
        """

    async def aclose(self) -> None:
        """Close what is open; the next exchange opens it again."""
