"""A client that reads raw bytes: what a server really sent, without an HTTP library's opinion."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import orjson
import pytest

if TYPE_CHECKING:
    from headrace.testing import FakeServer


class Client(Protocol):
    """Sends one request on its own connection and returns all bytes until the end."""

    async def __call__(
        self, server: FakeServer, prompt: str = "hi", *, close: bool = ...
    ) -> bytes: ...


def request_bytes(prompt: str, *, close: bool) -> bytes:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]})
    end = "connection: close\r\n" if close else ""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{end}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@pytest.fixture
def raw_client() -> Client:
    async def ask(
        server: FakeServer,
        prompt: str = "hi",
        *,
        close: bool = True,
    ) -> bytes:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            writer.write(request_bytes(prompt, close=close))
            return await reader.read()
        finally:
            writer.close()

    return ask
