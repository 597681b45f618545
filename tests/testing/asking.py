"""Requests to the fake server, as a client of either dialect sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.testing import FakeServer


Reply = tuple[int, dict[str, str], dict[str, object]]


class Client(Protocol):
    async def __call__(self, server: FakeServer, prompt: str = "hi") -> bytes: ...


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
