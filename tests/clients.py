"""Clients whose sends meet a script, and how tests run them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from headrace import LLMClient, Responses
from headrace.providers.catalog import Catalog
from headrace.testing import Script, VirtualClock, run_virtual, scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headrace.config import Models
    from headrace.engine.order import Lanes

T = TypeVar("T")
NOWHERE: Final = "http://127.0.0.1:1/v1"


def made(script: Script, models: Models = "openai/m", **options: Any) -> LLMClient:
    """A client whose sends meet ``script``, in real time; scripts here have no latency."""
    catalog = Catalog({"openai_chat": scripted(script)})
    return LLMClient(models, base_url=NOWHERE, catalog=catalog, **options)


def virtual(
    script: Script, main: Callable[[LLMClient], Coroutine[object, object, T]], **options: Any
) -> T:
    """``main`` with a client in virtual time."""
    clock = VirtualClock()

    async def whole() -> T:
        async with made(script, clock=clock, chance=lambda: 0.5, **options) as client:
            return await main(client)

    return run_virtual(whole, clock=clock)


def lanes(client: LLMClient) -> Lanes:
    """The client's routes as its admission sees them."""
    return client._usual.choice.lanes  # noqa: SLF001 - a slot that leaks shows in no answer and no event


def check_nothing_is_held(client: LLMClient) -> None:
    for state in lanes(client):
        assert (state.waiting, state.in_flight, state.account.waiting) == (0, 0, 0)
        assert [scope.in_flight for scope in state.scopes] == [0, 0]


def quiet(client: LLMClient, prompts: object, **options: Any) -> Coroutine[Any, Any, Any]:
    several: Any = prompts
    return client.process_prompts_async(several, show_progress=False, **options)


def run(client: LLMClient, prompts: object, **options: Any) -> Responses[Any]:
    async def main() -> Responses[Any]:
        async with client:
            responses: Responses[Any] = await quiet(client, prompts, **options)
            return responses

    return asyncio.run(main())
