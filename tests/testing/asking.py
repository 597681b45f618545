"""Requests to the fake server, as a client of either dialect sends them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import aiohttp

from headrace.testing import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.testing import FakeServer
    from headrace.testing.server import Turn


Reply = tuple[int, dict[str, str], dict[str, object]]


class Client(Protocol):
    async def __call__(self, server: FakeServer, prompt: str = "hi") -> bytes: ...


class Held(faults.Fault):
    """An answer, or a fault, that comes when it is let go."""

    def __init__(self, then: faults.Fault | None = None) -> None:
        self.free = asyncio.Event()
        self.then = then

    async def play(self, turn: Turn) -> None:
        await self.free.wait()
        if self.then is None:
            turn.respond(turn.answer)
        else:
            await self.then.play(turn)


async def turns(count: int = 20) -> None:
    """So many turns of the loop: what was written arrives, and who has left is noticed."""
    for _ in range(count):
        await asyncio.sleep(0)


async def post(
    url: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> Reply:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as reply,
    ):
        kept = {name.lower(): value for name, value in reply.headers.items()}
        return reply.status, kept, await reply.json()


def chat(prompt: object = "one two three", **more: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **more}


async def ask(server: FakeServer, prompt: object = "one two three", **more: object) -> Reply:
    return await post(f"{server.base_url}/chat/completions", chat(prompt, **more))


async def ask_anthropic(server: FakeServer, **more: object) -> Reply:
    return await post(f"{server.anthropic_url}/v1/messages", chat(**more), {"x-api-key": "sk"})
