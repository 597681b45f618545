"""Each fault does on the wire what it says."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import TYPE_CHECKING, Protocol

import aiohttp
import orjson
import pytest

from headrace.testing import FakeServer, faults, plans
from headrace.testing.faults import Fault

if TYPE_CHECKING:
    from headrace.testing.server import Turn


class Client(Protocol):
    async def __call__(self, server: FakeServer, *, close: bool = ...) -> bytes: ...


def meet(client: Client, fault: Fault, *, close: bool = True) -> tuple[bytes, bytes, FakeServer]:
    """Head and body of the reply to one request that meets ``fault``."""

    async def main() -> tuple[bytes, FakeServer]:
        async with FakeServer(faults=plans.Sequence([fault])) as server:
            return await client(server, close=close), server

    data, server = asyncio.run(main())
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body, server


async def settled(server: FakeServer) -> None:
    """Until the server has noticed that its clients are gone."""
    while server.ledger.in_flight:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)


def completion(body: bytes) -> object:
    return orjson.loads(body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 529, 600])
def test_a_status_comes_with_the_dialects_error(raw_client: Client, code: int) -> None:
    head, body, server = meet(raw_client, faults.Status(code, headers={"x-should-retry": "false"}))
    assert head.startswith(b"HTTP/1.1 %d " % code)
    assert b"x-should-retry: false" in head
    assert orjson.loads(body)["error"]["message"]
    assert server.answered == {}
    assert server.ledger.statuses == {code: 1}


def test_a_status_may_have_a_body_of_its_own_and_repeated_headers(raw_client: Client) -> None:
    headers = (("retry-after", "1"), ("retry-after", "2"))
    head, body, _ = meet(raw_client, faults.Status(502, "<html>Bad gateway</html>", headers))
    assert b"content-type: text/html" in head
    assert head.count(b"retry-after") == 2
    assert body == b"<html>Bad gateway</html>"
    head, body, _ = meet(raw_client, faults.Status(400, b'{"detail": "no"}'))
    assert b"content-type: application/json" in head
    assert body == b'{"detail": "no"}'


def test_a_rate_limit_reply_says_how_long() -> None:
    assert faults.limited() == faults.Status(429)
    assert faults.limited(2) == faults.Status(429, headers={"retry-after": "2"})
    hint = {"retry-after": "2", "retry-after-ms": "1500"}
    assert faults.limited(1.5, 503) == faults.Status(503, headers=hint)


def test_latency_answers_or_goes_on_to_another_fault(raw_client: Client) -> None:
    _, body, server = meet(raw_client, faults.Latency(0.001))
    assert completion(body) == "echo: hi"
    assert server.answered == {"hi": 1}
    head, _, _ = meet(raw_client, faults.Latency(0.001, faults.Status(503)))
    assert head.startswith(b"HTTP/1.1 503 ")


def test_drop_before_sends_nothing(raw_client: Client) -> None:
    assert meet(raw_client, faults.DropBefore())[:2] == (b"", b"")


def test_resets_are_resets(raw_client: Client) -> None:
    with pytest.raises(ConnectionResetError):
        meet(raw_client, faults.Reset())
    with pytest.raises(ConnectionResetError):
        meet(raw_client, faults.Reset(within=True))


@pytest.mark.parametrize("sent", [0, 1, None])
def test_drop_within_announces_more_than_it_sends(raw_client: Client, sent: int | None) -> None:
    head, body, server = meet(raw_client, faults.DropWithin(sent))
    length = int(head.rpartition(b"content-length: ")[2].split()[0])
    assert len(body) == (length // 2 if sent is None else sent)
    assert server.answered == {}


def test_close_after_does_not_announce_it(raw_client: Client) -> None:
    head, body, server = meet(raw_client, faults.CloseAfter(), close=False)
    assert b"connection" not in head
    assert completion(body) == "echo: hi"
    assert server.answered == {"hi": 1}


@pytest.mark.parametrize("cut", [0, 10])
def test_a_body_may_be_longer_than_announced(raw_client: Client, cut: int) -> None:
    head, body, server = meet(raw_client, faults.TooLongBody(b"surplus", cut))
    length = int(head.rpartition(b"content-length: ")[2].split()[0])
    assert body.endswith(b"surplus")
    assert len(body) == length + cut + len(b"surplus")
    assert server.answered["hi"] == (not cut)


def test_a_bad_chunk_follows_a_good_one(raw_client: Client) -> None:
    head, body, _ = meet(raw_client, faults.BadChunk())
    assert b"transfer-encoding: chunked" in head
    size, _, rest = body.partition(b"\r\n")
    assert rest[int(size, 16) :].startswith(b"\r\nzz\r\n")


@pytest.mark.parametrize("data", [b"\x00 garbage", b"HTTP/1.1 204 No Content\r\n\r\n"])
def test_raw_bytes_come_as_they_are(raw_client: Client, data: bytes) -> None:
    head, body, _ = meet(raw_client, faults.Raw(data), close=False)
    assert data.startswith(head + body)


def test_raw_bytes_may_stand_before_the_answer_or_leave_the_connection_open(
    raw_client: Client,
) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    head, body, server = meet(raw_client, faults.Raw(hints, then_answer=True))
    assert head + b"\r\n\r\n" == hints
    assert body.startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.answered == {"hi": 1}
    nothing = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
    head, _, _ = meet(raw_client, faults.Raw(nothing, close=False))
    assert head + b"\r\n\r\n" == nothing


def test_any_body_may_come_with_200(raw_client: Client) -> None:
    fault = faults.Body(b"<html>", "text/html; charset=latin-1", {"x-a": "b"})
    head, body, _ = meet(raw_client, fault)
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=latin-1\r\n")
    assert b"\r\nx-a: b\r\n" in head
    assert body == b"<html>"
    head, body, _ = meet(raw_client, faults.Body(b"", status=204))
    assert b"content-length" not in head


@pytest.mark.parametrize("part", ["header", "body"])
def test_a_drip_comes_byte_by_byte(part: str) -> None:
    async def main() -> tuple[int, bytes]:
        fault = faults.Drip(0, "header" if part == "header" else "body")
        pieces: list[bytes] = []
        async with FakeServer(faults=lambda _: fault) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(b"POST /v1/messages HTTP/1.0\r\ncontent-length: 39\r\n\r\n")
            writer.write(b'{"model": "m", "messages": [], "n": 00}'.replace(b"00", b"10"))
            while piece := await reader.read(65_536):
                pieces.append(piece)
            writer.close()
        return len(pieces), b"".join(pieces)

    count, data = asyncio.run(main())
    assert count > 20
    assert orjson.loads(data.partition(b"\r\n\r\n")[2])["content"][0]["text"] == "echo: "


@pytest.mark.parametrize("total", [10, 200_000])
def test_an_oversized_body_has_no_length(raw_client: Client, total: int) -> None:
    head, body, _ = meet(raw_client, faults.Oversized(total))
    assert b"content-length" not in head
    assert len(body) == total


def test_streams_may_be_chunked_and_chunks_may_be_honest() -> None:
    async def main() -> list[bytes]:
        row = [faults.Oversized(200_000, chunked=True), faults.Bomb(300_000, chunked=True)]
        fine = [faults.Chunked(), faults.Gzip()]
        bodies = []
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        async with (
            FakeServer(faults=plans.Sequence([*row, *fine])) as server,
            aiohttp.ClientSession() as session,
        ):
            for _ in range(4):
                async with session.post(f"{server.base_url}/chat/completions", json=body) as reply:
                    bodies.append(await reply.read())
            assert server.answered == {"hi": 2}
            assert server.ledger.connections_total == 1
        return bodies

    oversized, bomb, chunked, gzipped = asyncio.run(main())
    assert (len(oversized), len(bomb)) == (200_000, 300_000)
    assert completion(chunked) == completion(gzipped) == "echo: hi"


@pytest.mark.parametrize("total", [1, 10_000_000])
def test_a_bomb_is_small_and_whole(raw_client: Client, total: int) -> None:
    head, body, _ = meet(raw_client, faults.Bomb(total))
    assert b"content-encoding: gzip" in head
    decoded = gzip.decompress(body)
    assert len(decoded) == total
    assert zlib.crc32(decoded) == int.from_bytes(body[-8:-4], "little")
    assert total == 1 or total / len(body) > 300


def test_gzip_is_an_honest_answer(raw_client: Client) -> None:
    head, body, server = meet(raw_client, faults.Gzip())
    assert b"content-encoding: gzip" in head
    assert completion(gzip.decompress(body)) == "echo: hi"
    assert server.answered == {"hi": 1}


@pytest.mark.parametrize("within", [False, True])
def test_a_stall_ends_when_the_client_goes(within: bool) -> None:
    async def main() -> tuple[int, int, bool]:
        async with FakeServer(faults=lambda _: faults.Stall(within)) as server:
            async with aiohttp.ClientSession() as session:
                asking = asyncio.ensure_future(
                    session.post(
                        f"{server.base_url}/chat/completions",
                        json={"model": "m", "messages": [{"role": "user", "content": "hi"}]},
                    )
                )
                await server.until(1)
                if within:
                    reply = await asking
                    reply.close()
                asking.cancel()
            await settled(server)
            return server.ledger.abandoned, server.ledger.in_flight, within

    assert asyncio.run(main()) == (1, 0, within)


def test_a_redirect_says_where(raw_client: Client) -> None:
    head, body, _ = meet(raw_client, faults.Redirect("http://127.0.0.1:1/", 307))
    assert head.startswith(b"HTTP/1.1 307 Temporary Redirect\r\n")
    assert b"location: http://127.0.0.1:1/\r\n" in head
    assert body == b""


def test_a_large_stream_waits_for_a_slow_reader_and_ends_with_it() -> None:
    async def main() -> int:
        async with FakeServer(faults=lambda _: faults.Oversized(1 << 40)) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            body = b'{"model": "m", "messages": []}'
            writer.write(b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await reader.readexactly(5_000_000)
            writer.close()
            await settled(server)
            return server.ledger.abandoned

    assert asyncio.run(main()) == 1


def test_a_fault_of_your_own_that_fails_is_raised_at_the_end() -> None:
    class Broken(Fault):
        async def play(self, turn: Turn) -> None:
            raise KeyError(turn.seen.prompt)

    async def main() -> None:
        async with (
            FakeServer(faults=lambda _: Broken()) as server,
            aiohttp.ClientSession() as client,
        ):
            with pytest.raises(aiohttp.ClientError):
                await client.post(
                    f"{server.base_url}/chat/completions",
                    json={"model": "m", "messages": [{"role": "user", "content": "mine"}]},
                )

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())


def test_faults_are_values_that_can_be_keys() -> None:
    assert (
        len({faults.Status(429, headers={"a": "b"}), faults.Status(429, headers={"a": "b"})}) == 1
    )
    assert hash(faults.Body(b"", headers={"a": "b"})) == hash(faults.Body(b"", headers={"a": "b"}))
