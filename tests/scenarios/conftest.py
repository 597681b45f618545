"""What the scenarios share: one client in virtual time before a scripted provider."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from headrace import LLMClient
from headrace.providers.catalog import Catalog
from headrace.testing import Script, VirtualClock, run_virtual, scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headrace.config import Models
    from headrace.core.response import Responses

T = TypeVar("T")
NOWHERE: Final = "http://127.0.0.1:1/v1"
SECOND: Final = 1_000_000_000


class World:
    """A client whose sends meet ``script``, and the clock that they share."""

    def __init__(
        self,
        script: Script,
        models: Models = "openai/m",
        *,
        threads: bool = False,
        **options: Any,
    ) -> None:
        """``threads``: other threads take part in the run."""
        self.script = script
        self._threads = threads
        self.clock = VirtualClock()
        self.began = self.clock.now()
        catalog = Catalog({"openai_chat": scripted(script)})
        options.setdefault("chance", random.Random(7).random)
        self.client = LLMClient(
            models, base_url=NOWHERE, clock=self.clock, catalog=catalog, **options
        )

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the beginning."""
        return (self.clock.now() - self.began) / SECOND

    def run(self, prompts: object, **options: Any) -> Responses[Any]:
        """``process_prompts_async`` to its end, and nothing left behind."""
        client: Any = self.client
        return self.play(
            lambda: client.process_prompts_async(prompts, show_progress=False, **options)
        )

    def play(self, main: Callable[[], Coroutine[object, object, T]]) -> T:
        """Any coroutine in this world's time; the client is closed after it."""

        async def whole() -> T:
            async with self.client:
                return await main()

        return run_virtual(whole, clock=self.clock, allow_threads=self._threads)


@pytest.fixture
def world() -> type[World]:
    """The class, since each scenario has a script of its own."""
    return World
