"""Texts that are embedded in virtual time: what each exchange held, and what became of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import orjson

from headrace import LLMClient
from headrace.core.reply import Reply
from headrace.providers.base import ProviderRequest
from headrace.providers.catalog import Catalog
from headrace.providers.operations import class_of
from headrace.testing import VirtualClock, run_virtual, vector_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headrace.config import Models
    from headrace.core.context import RequestContext
    from headrace.core.errors import ProviderError
    from headrace.core.model import Route
    from headrace.core.response import APIResponse

    # What an exchange with these texts meets; None: it is answered.
    Rule: TypeAlias = Callable[[list[str], int], ProviderError | None]

T = TypeVar("T")
NOWHERE = "http://127.0.0.1:1/v1"
LATENCY = 1.0
PER_TEXT = 3


class Texts:
    """A provider of vectors, and each exchange that it saw."""

    def __init__(self, rule: Rule = lambda *_: None) -> None:
        self.sends: list[list[str]] = []
        self.routes: list[str] = []
        self.paid: list[str] = []
        self.rule = rule

    async def meet(self, texts: list[str], route: Route) -> Reply:
        self.sends.append(texts)
        self.routes.append(route.id)
        error = self.rule(texts, len(self.sends) - 1)
        await asyncio.sleep(LATENCY)
        if error is not None:
            raise error
        self.paid += texts
        rows = [{"index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)]
        billed = {"prompt_tokens": PER_TEXT * len(texts) + 1}
        return Reply(200, orjson.dumps({"data": rows, "usage": billed, "model": "m"}))

    @property
    def catalog(self) -> Catalog:
        """Requests that are written and read by the codec, and sent here."""
        meet = self.meet

        class Request(ProviderRequest):
            __slots__ = ()
            epoch: ClassVar[int] = 1

            async def execute_once(self) -> APIResponse[object]:
                read = class_of(self.context.operation, self.route)
                draft = read.codec.encode(self.context, self.route)
                reply = await meet(orjson.loads(draft.body)["input"], self.route)
                answer = self.decode(self.context, self.route, reply)
                return replace(answer, adaptations=draft.adaptations)

            @classmethod
            def decode(
                cls, context: RequestContext, route: Route, reply: Reply
            ) -> APIResponse[object]:
                found = class_of(context.operation, route).decode(context, route, reply)
                assert found is not None
                return found

        return Catalog({"openai_chat": Request})

    def play(
        self,
        main: Callable[[LLMClient], Coroutine[object, object, T]],
        models: Models = "openai/m",
        *,
        threads: bool = False,
        **options: Any,
    ) -> T:
        """``main`` with a client in virtual time; ``threads``: others take part, as of SQLite."""
        clock = VirtualClock()

        async def whole() -> T:
            async with LLMClient(
                models,
                base_url=NOWHERE,
                catalog=self.catalog,
                clock=clock,
                chance=lambda: 0.5,
                **options,
            ) as client:
                return await main(client)

        return run_virtual(whole, clock=clock, allow_threads=threads)
