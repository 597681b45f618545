"""What is not posted as JSON, through the HTTP door; and exchanges that are not headrace's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from headrace.core.errors import HeldBackError, NotSentError
from headrace.core.model import KeySource
from headrace.core.secret import Secret
from headrace.providers.base import ProviderRequest
from tests.adapters.test_http import BODY, KEY, PATH, route
from tests.adapters.test_stream import served

if TYPE_CHECKING:
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse


def test_what_is_not_posted_as_json() -> None:
    async def main() -> None:
        async with served() as (server, there):
            exchange = there.exchange()
            listed = await exchange.get("/models", (("x-more", "1"),))
            assert (listed.status, orjson.loads(listed.body)["object"]) == (200, "list")
            assert (await exchange.delete("/files/1")).status == 404
            kind = "multipart/form-data; boundary=b"
            assert (await exchange.post(PATH, BODY, content_type=kind)).status == 200
            [seen] = server.received
            assert seen.headers["content-type"] == kind
            assert server.ledger.connections_total == 1
            there.gate.shut = True
            with pytest.raises(HeldBackError):
                await exchange.get("/models")

    asyncio.run(main())


@pytest.mark.parametrize(("method", "line"), [("get", b"GET"), ("delete", b"DELETE")])
def test_a_request_without_a_body(method: str, line: bytes) -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with served() as (_, there):
            listening = await asyncio.start_server(answer, "127.0.0.1", 0)
            port = listening.sockets[0].getsockname()[1]
            there.route = replace(
                there.route,
                base_url=f"http://127.0.0.1:{port}/v1",
                key=KeySource(secret=Secret(KEY)),
            )
            exchange = there.exchange()
            reply = await (exchange.get if method == "get" else exchange.delete)("/files/1?a=b")
            assert reply.body == b"{}"
            listening.close()

    asyncio.run(main())
    [head] = heads
    assert head.startswith(line + b" /v1/files/1?a=b HTTP/1.1\r\n")
    assert b"content-type" not in head.lower()
    assert f"authorization: bearer {KEY}".encode().lower() in head.lower()


def test_paths_that_differ_fill_no_memory() -> None:
    async def main() -> None:
        async with served() as (_, there):
            for n in range(1100):
                await there.exchange().get(f"/files/{n}")
            assert len(there.transport._prepared) <= 1024  # noqa: SLF001 - a bound nobody else sees

    asyncio.run(main())


def test_an_exchange_of_ones_own_needs_no_more_than_post() -> None:
    class Own:
        async def post(
            self, path: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()
        ) -> Reply:
            raise NotSentError(f"{path} {len(body)} {headers}")

    class Asks(ProviderRequest):
        async def execute_once(self) -> APIResponse[object]:
            await self.exchange.post("/p", b"1")
            raise AssertionError

    async def main() -> None:
        own = Asks(None, route("http://127.0.0.1:1"), Own())  # type: ignore[arg-type]  # as before
        with pytest.raises(NotSentError, match=r"/p 1 \(\)"):
            await own.execute_once()

    asyncio.run(main())
