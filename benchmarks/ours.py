"""headrace as a contender, with everything on: limits, retries, usage, cost, results in a list."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from benchmarks.bare import Contender, Place
from headrace import APIResponse, LLMClient, Model, Price

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_LIMIT = 1_000_000_000
PRICED = Model(id="openai/fake", price=Price(input=Decimal(1), output=Decimal(2)))


def client_at(place: Place, *, per_minute: float = NO_LIMIT, cache: str | None = None) -> LLMClient:
    """A client of the benchmark's server; its limits exist and are never met unless asked for."""
    return LLMClient(
        PRICED,
        base_url=place.url,
        api_key="x",
        max_concurrent_requests=place.in_flight,
        max_requests_per_minute=per_minute,
        max_tokens_per_minute=NO_LIMIT * 1000,
        cache=cache,
    )


class Headrace(Contender):
    """``process_prompts_async`` into a list."""

    cache: str | None = None

    async def open(self) -> None:
        """One client for the warm-up and the run."""
        self.client = client_at(self.place, cache=self.cache)
        self.runs = 0
        self.kept: list[APIResponse[object]] = []

    def journal(self) -> str | None:
        """Where the run is recorded: nowhere here."""
        return None

    async def run(self, prompts: Iterable[str]) -> None:
        """The main call."""
        self.runs += 1
        self.kept = []
        self.kept = await self.client.process_prompts_async(
            prompts, show_progress=False, journal=self.journal()
        )

    def answered(self) -> int:
        """Responses with a text, usage and a cost."""
        return sum(1 for r in self.kept if r.completion and r.usage and r.cost is not None)

    async def close(self) -> None:
        """Close the client."""
        await self.client.aclose()


class HeadraceJournal(Headrace):
    """The same with a journal."""

    def journal(self) -> str | None:
        """A new file for each run."""
        return str(self.place.directory / f"run{self.runs}.journal")


class HeadraceStream(Headrace):
    """``process_stream`` whose responses are counted and dropped."""

    async def run(self, prompts: Iterable[str]) -> None:
        """Draw, answer, forget."""
        self.counted = 0
        async with self.client.process_stream(prompts, show_progress=False) as responses:
            async for response in responses:
                self.counted += not response.is_error

    def answered(self) -> int:
        """Responses without an error."""
        return self.counted


class MemoryCache(Headrace):
    """A client with ``cache="memory"``; its warm-up asks the very prompts of the run."""

    cache = "memory"

    def answered(self) -> int:
        """Responses that came from the cache."""
        return sum(1 for r in self.kept if r.completion and r.source == "cache")


class SqliteCache(MemoryCache):
    """The same with a file."""

    async def open(self) -> None:
        """A new file in the contender's directory."""
        self.cache = str(self.place.directory / "cache.sqlite")
        await super().open()
