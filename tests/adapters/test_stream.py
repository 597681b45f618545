"""Streams through the HTTP door: blocks as they come, a name for each end, nothing left open."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters.http import MAX_STREAM, HttpExchange, Transport
from headrace.adapters.keys import Veil
from headrace.core.errors import (
    ConnectionLostError,
    HeldBackError,
    NotSentError,
    OutcomeUnknownError,
    ProviderError,
    ReplyError,
)
from headrace.testing import FakeServer, faults, plans, stream_faults
from headrace.testing.faults import CHUNKED, Fault, chunk
from headrace.wire.framing import Frame, SSEDecoder
from tests.adapters.test_http import KEY, PATH, Gate, at_rest, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.core.model import Route
    from headrace.providers.base import Exchange
    from headrace.testing.plans import Plan
    from headrace.testing.server import Turn

ROW: Final = {"model": "m", "messages": [{"role": "user", "content": "one two"}], "stream": True}
BODY: Final = orjson.dumps(ROW)


class Way:
    """Exchanges with one server, all through one transport."""

    def __init__(self, transport: Transport, there: Route) -> None:
        self.transport = transport
        self.route = there
        self.gate = Gate()

    def exchange(self, seconds: float = 20.0) -> Exchange:
        return HttpExchange(lambda: self.transport, self.route, seconds, self.gate)

    async def read(self, *, seconds: float = 20.0) -> list[Frame]:
        """All frames of one stream."""
        decoder, frames = SSEDecoder(), []
        async with self.exchange(seconds).stream(PATH, BODY) as incoming:
            assert incoming.status == 200
            async for block in incoming.blocks():
                assert block
                frames += decoder.feed(block)
        return frames + decoder.end()

    async def fails(self, *, seconds: float = 20.0) -> ProviderError:
        with pytest.raises(ProviderError) as failed:
            await self.read(seconds=seconds)
        return failed.value


@asynccontextmanager
async def served(plan: Plan | None = None) -> AsyncIterator[tuple[FakeServer, Way]]:
    async with FakeServer(faults=plan) as server:
        transport = Transport()
        try:
            yield server, Way(transport, route(server.base_url))
        finally:
            await transport.aclose()


def first(fault: Fault) -> Plan:
    return plans.Sequence([fault])


# A stream that goes well.


def test_a_whole_stream_and_its_head() -> None:
    async def main() -> None:
        async with served() as (server, there):
            for _ in range(3):
                frames = await there.read()
                assert frames[-1] == Frame("", b"[DONE]")
                assert len(frames) == 6
            await at_rest(server, 1)
            assert server.ledger.connections_total == 1
            [seen, *_] = server.received
            assert (seen.stream, seen.key, seen.body) == (True, KEY, BODY)
            async with there.exchange().stream(PATH, BODY, (("x-more", "1"),)) as incoming:
                assert incoming.headers["content-type"] == "text/event-stream"
                assert incoming.headers["x-request-id"].startswith("req_")
                assert "transfer-encoding" not in incoming.headers
            assert server.received[-1].headers["x-more"] == "1"
            assert there.gate.heard == []

    asyncio.run(main())


def test_blocks_arrive_before_the_body_ends() -> None:
    class Stepwise(Fault):
        async def play(self, turn: Turn) -> None:
            turn.start(turn.answer, CHUNKED)
            for frame in turn.answer.frames:
                await turn.write(chunk(frame))
                await steps.get()  # what comes next waits for the reader
            await turn.write(chunk(b""))

    steps: asyncio.Queue[None] = asyncio.Queue()

    async def main() -> None:
        async with (
            served(first(Stepwise())) as (_, there),
            there.exchange().stream(PATH, BODY) as incoming,
        ):
            blocks = []
            async for block in incoming.blocks():
                blocks.append(block)
                steps.put_nowait(None)
            assert len(blocks) == 6

    asyncio.run(main())


def test_leaving_early_closes_the_connection() -> None:
    async def main() -> None:
        silent = stream_faults.Silence(2)
        async with served(plans.Sequence([silent, silent, None])) as (server, there):
            for read_some in (True, False):
                async with there.exchange().stream(PATH, BODY) as incoming:
                    if read_some:
                        assert await anext(incoming.blocks())
                await at_rest(server, 0)
            assert server.ledger.abandoned == 2
            assert len(await there.read()) == 6
            await at_rest(server, 1)

    asyncio.run(main())


def test_an_exception_or_a_cancellation_closes_the_connection() -> None:
    async def main() -> None:
        async with served(lambda _: stream_faults.Silence(1)) as (server, there):
            with pytest.raises(LookupError):
                async with there.exchange().stream(PATH, BODY):
                    raise LookupError
            await at_rest(server, 0)
            reading = asyncio.ensure_future(there.read())
            await server.until(2)
            await asyncio.sleep(0.01)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await at_rest(server, 0)

    asyncio.run(main())


@pytest.mark.parametrize("fault", [faults.Gzip(), faults.Chunked(7), stream_faults.Shredded(3)])
def test_the_same_bytes_in_other_forms(fault: Fault) -> None:
    async def main() -> None:
        async with served(plans.Sequence([None, fault])) as (server, there):
            whole, other = await there.read(), await there.read()
            assert [frame.data[40:] for frame in other] == [frame.data[40:] for frame in whole]
            await at_rest(server, 1)

    asyncio.run(main())


def test_the_time_is_that_of_a_silence_and_not_of_the_whole() -> None:
    class Slow(Fault):
        async def play(self, turn: Turn) -> None:
            turn.start(turn.answer, CHUNKED)
            for _ in range(8):
                await asyncio.sleep(0.05)
                await turn.write(chunk(b": still here\n\n"))
            await turn.write(chunk(b"data: 1\n\n") + chunk(b""))

    async def main() -> None:
        async with served(lambda _: Slow()) as (_, there):
            assert await there.read(seconds=0.3) == [Frame("", b"1")]

    asyncio.run(main())


# A stream that goes wrong.


@pytest.mark.parametrize(
    ("fault", "kind", "sentence"),
    [
        (stream_faults.Drop(2), OutcomeUnknownError, "broke off or was garbled"),
        (stream_faults.Drop(2, reset=True), OutcomeUnknownError, "broke off or was garbled"),
        (stream_faults.Drop(0), OutcomeUnknownError, "broke off or was garbled"),
        (faults.BadChunk(), OutcomeUnknownError, "broke off or was garbled|is not HTTP"),
        (faults.DropWithin(), OutcomeUnknownError, "broke off or was garbled"),
        (faults.DropBefore(), ConnectionLostError, "closed the connection without a reply"),
        (faults.Reset(), ConnectionLostError, "closed the connection without a reply"),
        (faults.Raw(b"SSH-2.0-server\r\n"), OutcomeUnknownError, "not HTTP: Bad status line"),
    ],
    ids=repr,
)
def test_a_stream_that_breaks_off(fault: Fault, kind: type[ProviderError], sentence: str) -> None:
    async def main() -> None:
        async with served(first(fault)) as (server, there):
            error = await there.fails()
            assert type(error) is kind
            with pytest.raises(kind, match=sentence):
                raise error
            assert KEY not in str(error)
            await at_rest(server, 0)
            assert server.ledger.total == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "fault",
    [
        stream_faults.Silence(0),
        stream_faults.Silence(2),
        faults.Stall(),
        faults.Drip(0.02, "header"),
    ],
    ids=repr,
)
def test_a_stream_that_falls_silent(fault: Fault) -> None:
    async def main() -> None:
        async with served(plans.Sequence([None, fault])) as (server, there):
            await there.read()
            error = await there.fails(seconds=0.1)
            assert type(error) is OutcomeUnknownError
            assert "was silent for 0.1 s; the request may have been charged" in str(error)
            await at_rest(server, 0)

    asyncio.run(main())


def test_a_stream_that_ends_well_is_for_others_to_judge() -> None:
    async def main() -> None:
        row = [stream_faults.Cut(2), stream_faults.ErrorFrame(2), stream_faults.Chatty()]
        async with served(plans.Sequence(row)) as (server, there):
            assert [len(await there.read()) for _ in row] == [2, 3, 6]
            await at_rest(server, 1)

    asyncio.run(main())


@pytest.mark.parametrize("fault", [stream_faults.Flood(), faults.Bomb(1 << 30)], ids=repr)
def test_a_flood_is_bounded_and_fills_no_memory(fault: Fault) -> None:
    async def main() -> int:
        async with (
            served(first(fault)) as (server, there),
            there.exchange().stream(PATH, BODY) as incoming,
        ):
            read = 0

            async def drain() -> None:
                nonlocal read
                async for block in incoming.blocks():
                    read += len(block)

            tracemalloc.start(1)
            with pytest.raises(ReplyError, match="larger than 256 MiB"):
                await drain()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert MAX_STREAM - (1 << 26) < read <= MAX_STREAM
            incoming.close()  # type: ignore[attr-defined]  # early, to see the server at rest
            await at_rest(server, 0)
            return peak

    assert asyncio.run(main()) < MAX_STREAM // 4


def test_refusals_are_readable_and_heard_at_once() -> None:
    async def main() -> None:
        async with served(lambda _: faults.limited(3)) as (server, there):
            async with there.exchange().stream(PATH, BODY) as incoming:
                assert incoming.status == 429
                [(status, headers)] = there.gate.heard
                assert (status, headers["retry-after"]) == (429, "3")
                reply = await incoming.read()
                assert orjson.loads(reply.body)["error"]["code"] == "rate_limit_exceeded"
                assert (reply.status, reply.headers) == (429, headers)
            await at_rest(server, 1)
            server.faults = lambda _: faults.DropWithin()
            async with there.exchange().stream(PATH, BODY) as incoming:
                with pytest.raises(OutcomeUnknownError, match="broke off"):
                    await incoming.read()
            server.faults = lambda _: faults.Oversized(1 << 30)
            async with there.exchange().stream(PATH, BODY) as incoming:
                with pytest.raises(ReplyError, match="larger than 32 MiB"):
                    await incoming.read()
            await at_rest(server, 0)

    asyncio.run(main())


@pytest.mark.parametrize("used_before", [False, True])
def test_the_gate_is_asked_before_the_first_byte(used_before: bool) -> None:
    async def main() -> None:
        async with served() as (server, there):
            if used_before:
                await there.read()
            there.gate.shut = used_before
            sending = asyncio.ensure_future(there.fails())
            await asyncio.sleep(0)
            there.gate.shut = True
            assert isinstance(await sending, HeldBackError)
            await at_rest(server, 0)
            assert server.ledger.total == used_before
            there.gate.shut = False
            assert len(await there.read()) == 6

    asyncio.run(main())


def test_a_server_that_is_not_there() -> None:
    async def main() -> None:
        async with served() as (server, there):
            await server.stop()
            assert isinstance(await there.fails(), NotSentError)

    asyncio.run(main())


# Keys.


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_key_in_a_stream_is_hidden_wherever_it_is_cut(size: int) -> None:
    said = f"data: your key is {KEY}, not {KEY[:-1]}\n\ndata: {KEY[:9]}".encode()

    class Telltale(Fault):
        async def play(self, turn: Turn) -> None:
            quoting = replace(
                turn.answer, body=said, frames=(said,), headers=(("retry-after", KEY),)
            )
            turn.start(quoting, CHUNKED)
            for at in range(0, len(said), size):
                await turn.write(chunk(said[at : at + size]))
                await asyncio.sleep(0)
            await turn.write(chunk(b""))

    async def main() -> None:
        async with (
            served(first(Telltale())) as (_, there),
            there.exchange().stream(PATH, BODY) as incoming,
        ):
            shown = b"".join([block async for block in incoming.blocks()])
            assert shown == said.replace(KEY.encode(), b"********")
            assert incoming.headers["retry-after"] == "********"

    asyncio.run(main())


@given(
    parts=st.lists(st.sampled_from(["abcabcabcabcabcd", "abc", "abcabcabcabcabc", "d", "x", "\n"])),
    cuts=st.lists(st.integers(0, 200)),
)
def test_hiding_does_not_depend_on_the_blocks(parts: list[str], cuts: list[int]) -> None:
    data = "".join(parts).encode()
    veil = Veil("abcabcabcabcabcd")
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    flow, shown = veil.over_blocks(), b""
    for start, stop in pairwise(places):
        shown += flow.over(data[start:stop])
        if data[:stop].endswith(b"\n"):
            assert shown == veil.over(data[:stop]), "a line that is whole waits for nothing"
    assert shown + flow.end() == veil.over(data)
