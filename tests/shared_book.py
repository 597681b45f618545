"""A store of shared limits in memory, in the test's own time, that can be lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace.policy.leases import Book

if TYPE_CHECKING:
    from headrace.policy.leases import Answer, Message
    from headrace.testing import VirtualClock


class SharedBook:
    """What several clients share. Each way to it takes ``latency`` seconds."""

    def __init__(self, clock: VirtualClock, latency: float = 0.0) -> None:
        self.book = Book()
        self.clock = clock
        self.latency = latency
        self.lost = False
        # A step is taken, and its answer never comes.
        self.mute = False
        self.messages: list[Message] = []

    def __str__(self) -> str:
        return "the shared book"

    async def exchange(self, message: Message) -> Answer:
        await asyncio.sleep(self.latency)
        if self.lost:
            raise ConnectionRefusedError("the shared book is lost")
        self.messages.append(message)
        answer = self.book.exchange(message, self.clock.now() // 1_000)
        await asyncio.sleep(self.latency)
        if self.mute:
            raise TimeoutError
        return answer

    async def aclose(self) -> None:
        pass
