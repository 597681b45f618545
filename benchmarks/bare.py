"""The loop that everything is measured against, written as well as such a loop can be."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import orjson
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADERS = {"Authorization": "Bearer x", "Content-Type": "application/json"}
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contender works: the base URL, how many in flight, a directory for its files."""

    url: str
    in_flight: int
    directory: Path


class Contender(ABC):
    """Somebody who can send prompts: opened, run (once to warm up, once measured), closed."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @abstractmethod
    async def open(self) -> None:
        """Make what outlives a run. It is not measured."""

    @abstractmethod
    async def run(self, prompts: Iterable[str]) -> None:
        """Send ``prompts`` and keep the results. This is measured."""

    @abstractmethod
    def answered(self) -> int:
        """How many of the last run's prompts have an answer with its usage."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of what ``open`` made."""


class Bare(Contender):
    """aiohttp, ``asyncio.gather`` and a semaphore; it keeps each answer's text and usage."""

    async def open(self) -> None:
        """One session for all; its headers are made once."""
        self.target = URL(f"{self.place.url}/chat/completions")
        self.free = asyncio.Semaphore(self.place.in_flight)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            headers=HEADERS,
        )

    async def ask(self, prompt: str) -> tuple[str, dict[str, int]]:
        """One exchange, without a thought for what could go wrong."""
        body = orjson.dumps({"model": "fake", "messages": [{"role": "user", "content": prompt}]})
        async with self.session.post(self.target, data=body) as response:
            reply = orjson.loads(await response.read())
        return reply["choices"][0]["message"]["content"], reply["usage"]

    async def _ask_when_free(self, prompt: str) -> tuple[str, dict[str, int]]:
        async with self.free:
            return await self.ask(prompt)

    async def run(self, prompts: Iterable[str]) -> None:
        """All at once, held back by the semaphore."""
        self.kept = await asyncio.gather(*[self._ask_when_free(prompt) for prompt in prompts])

    def answered(self) -> int:
        """Those with a text."""
        return sum(1 for text, usage in self.kept if text and usage)

    async def close(self) -> None:
        """Close the session."""
        await self.session.close()
