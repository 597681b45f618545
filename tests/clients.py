"""Clients whose sends meet a script, and how tests run them."""

# ruff: noqa: ANN401  options are passed on as they are
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from headrace import LLMClient, Responses
from headrace.providers.catalog import Catalog
from headrace.testing import Script, VirtualClock, run_virtual, scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

NOWHERE: Final = "http://127.0.0.1:1/v1"


def made(script: Script, models: Any = "openai/m", **options: Any) -> LLMClient:
    """A client whose sends meet ``script``, in real time; scripts here have no latency."""
    catalog = Catalog({"openai_chat": scripted(script)})
    return LLMClient(models, base_url=NOWHERE, catalog=catalog, **options)


def virtual(
    script: Script, main: Callable[[LLMClient], Coroutine[object, object, Any]], **options: Any
) -> Any:
    """``main`` with a client in virtual time."""
    clock = VirtualClock()

    async def whole() -> Any:
        async with made(script, clock=clock, chance=lambda: 0.5, **options) as client:
            return await main(client)

    return run_virtual(whole, clock=clock)


def quiet(client: LLMClient, prompts: object, **options: Any) -> Coroutine[Any, Any, Any]:
    several: Any = prompts
    return client.process_prompts_async(several, show_progress=False, **options)


def run(client: LLMClient, prompts: object, **options: Any) -> Responses[Any]:
    async def main() -> Responses[Any]:
        async with client:
            responses: Responses[Any] = await quiet(client, prompts, **options)
            return responses

    return asyncio.run(main())
