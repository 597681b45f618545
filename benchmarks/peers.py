"""The peers, each used the way its own documentation shows, with limits out of the way.

They are found by name when they are used, so that one that is not installed is reported as absent.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from benchmarks.bare import TIMEOUT, Bare, Contender

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_LIMIT = 1_000_000_000


class LmDeluge(Contender):
    """lm-deluge: ``process_prompts_async`` with its limits set very high."""

    async def open(self) -> None:
        """Register the server as a model."""
        deluge = importlib.import_module("lm_deluge")
        models = importlib.import_module("lm_deluge.models")
        os.environ["BENCHMARK_KEY"] = "x"
        models.register_model(
            id="fake",
            name="fake",
            api_base=self.place.url,
            api_key_env_var="BENCHMARK_KEY",
            api_spec="openai",
            input_cost=1.0,
            output_cost=2.0,
        )
        self.client = deluge.LLMClient(
            "fake",
            max_requests_per_minute=NO_LIMIT,
            max_tokens_per_minute=NO_LIMIT * 1000,
            max_concurrent_requests=self.place.in_flight,
            request_timeout=int(TIMEOUT),
        )

    async def run(self, prompts: Iterable[str]) -> None:
        """It takes a list and nothing else."""
        asked = list(prompts)
        self.kept = await self.client.process_prompts_async(asked, show_progress=False)

    def answered(self) -> int:
        """Responses without an error."""
        return sum(1 for r in self.kept if not r.is_error and r.completion and r.usage)

    async def close(self) -> None:
        """It closes its sessions itself."""


class AsyncBatchLlm(Bare):
    """async-batch-llm around the bare loop's own exchange, by its ``CallableStrategy``."""

    async def open(self) -> None:
        """The bare session, and the strategy that calls it."""
        self.library = importlib.import_module("async_batch_llm")
        await super().open()
        self.runs = 0
        identity = self.library.ArtifactIdentity(provider="openai", model="fake")
        self.strategy = self.library.CallableStrategy(self.invoke, identity=identity)

    async def invoke(self, prompt: str, **_: object) -> object:
        """One exchange as the library wants it; it also tells attempt, timeout and state."""
        text, usage = await self.ask(prompt)
        counted = {"input_tokens": usage["prompt_tokens"]}
        counted["output_tokens"] = usage["completion_tokens"]
        return self.library.CallOutcome(text, token_usage=counted)

    def store(self) -> Any:  # noqa: ANN401 - the library is untyped
        """Where it records results: nowhere here."""
        return None

    async def run(self, prompts: Iterable[str]) -> None:
        """Its one-liner."""
        self.runs += 1
        store = self.store()
        self.batch = await self.library.process_prompts(
            self.strategy,
            list(prompts),
            concurrency=self.place.in_flight,
            artifact_store=store,
        )
        if store is not None:
            await store.close()

    def answered(self) -> int:
        """Items that succeeded."""
        return sum(1 for r in self.batch.results if r.success and r.output and r.token_usage)


class AsyncBatchLlmJournal(AsyncBatchLlm):
    """async-batch-llm with its JSONL artifacts (flushed, not fsynced: its default)."""

    def store(self) -> Any:  # noqa: ANN401 - the library is untyped
        """A new file for each run."""
        return self.library.JsonlArtifactStore(self.place.directory / f"abl{self.runs}.jsonl")


class Gathered(Contender):
    """An SDK under ``asyncio.gather`` and a semaphore."""

    @abstractmethod
    async def ask(self, prompt: str) -> Any:  # noqa: ANN401 - each SDK has its own
        """One call, as the SDK gives it back."""

    async def open(self) -> None:
        """The semaphore."""
        self.free = asyncio.Semaphore(self.place.in_flight)

    async def _ask_when_free(self, prompt: str) -> tuple[str, object]:
        async with self.free:
            reply = await self.ask(prompt)
        return reply.choices[0].message.content, reply.usage

    async def run(self, prompts: Iterable[str]) -> None:
        """All at once, held back by the semaphore."""
        self.kept = await asyncio.gather(*[self._ask_when_free(prompt) for prompt in prompts])

    def answered(self) -> int:
        """Those with a text and usage."""
        return sum(1 for text, usage in self.kept if text and usage)


class OpenAI(Gathered):
    """The openai SDK: one ``AsyncOpenAI`` for all."""

    async def open(self) -> None:
        """The client."""
        await super().open()
        library = importlib.import_module("openai")
        self.client = library.AsyncOpenAI(base_url=self.place.url, api_key="x", timeout=TIMEOUT)

    async def ask(self, prompt: str) -> Any:  # noqa: ANN401 - each SDK has its own
        """``chat.completions.create``."""
        messages = [{"role": "user", "content": prompt}]
        return await self.client.chat.completions.create(model="fake", messages=messages)

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()


class LiteLLM(Gathered):
    """LiteLLM: ``acompletion``."""

    async def open(self) -> None:
        """Import it without its look-up of prices on the network."""
        await super().open()
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        self.library = importlib.import_module("litellm")
        vars(self.library)["telemetry"] = False
        logging.getLogger("LiteLLM").setLevel(logging.ERROR)

    async def ask(self, prompt: str) -> Any:  # noqa: ANN401 - each SDK has its own
        """One ``acompletion``."""
        return await self.library.acompletion(
            model="openai/fake",
            api_base=self.place.url,
            api_key="x",
            messages=[{"role": "user", "content": prompt}],
            timeout=TIMEOUT,
        )

    async def close(self) -> None:
        """It offers nothing to close."""
