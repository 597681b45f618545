"""Group 19, 21, 22: honest streams in odd blocks and lines, garbled frames, blocks, floods."""

from __future__ import annotations

import asyncio
import gzip
import re
import struct
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

import orjson
import pytest

from headrace.core.chunks import TextChunk
from headrace.testing import FakeServer
from headrace.testing.faults import CHUNKED, Body, Fault, chunk
from headrace.testing.frames import aws_event, aws_exception, sse
from headrace.testing.stream_faults import Chatty, Shredded
from tests.clients import check_nothing_is_held
from tests.scenarios.bad_streams.meeting import (
    ALL,
    ATTEMPTS,
    PROMPT,
    Rewritten,
    Then,
    check_answer,
    check_raised,
    client_of,
    each_dialect,
    frames_until,
    meet,
    of_each,
    quiet,
)

if TYPE_CHECKING:
    from headrace.testing.server.connection import Turn

pytestmark = [pytest.mark.once, pytest.mark.timeout(30)]
BINARY: Final = ("bedrock", "bedrock-anthropic")
LINES: Final = tuple(name for name in ALL if name not in BINARY)
EVENTS: Final = tuple(name for name in LINES if name != "ollama-native")
each_text = of_each(LINES)
each_sse = of_each(EVENTS)
each_binary = of_each(BINARY)
OF_LINES: Final = {
    r"\r\n": lambda body: body.replace(b"\n", b"\r\n"),
    r"\r": lambda body: body.replace(b"\n", b"\r"),
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "no last line end": lambda body: body.rstrip(b"\n"),
}


@each_dialect
@pytest.mark.parametrize("fault", [Shredded(1), Shredded(7), Chatty()], ids=repr)
def test_an_honest_stream_in_any_blocks(dialect: str, fault: Fault) -> None:
    check_answer(meet(dialect, [fault]))


@each_text
@pytest.mark.parametrize("name", OF_LINES)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_an_honest_stream_of_other_lines(dialect: str, name: str, size: int) -> None:
    check_answer(meet(dialect, [Rewritten(OF_LINES[name], size)]))


@each_text
def test_characters_are_cut_anywhere(dialect: str) -> None:
    def change(body: bytes) -> bytes:
        return body.replace(b"one ", "\u00e4\u4e2d\U0001f389\u2028 ".encode())

    met = meet(dialect, [Rewritten(change, 1)])
    assert met.response is not None
    assert met.text == met.response.completion == "echo: \u00e4\u4e2d\U0001f389\u2028 two"


@each_dialect
def test_a_compressed_stream(dialect: str) -> None:
    packed = Rewritten(gzip.compress, 16, (("content-encoding", "gzip"),))
    check_answer(meet(dialect, [packed]))


@each_dialect
def test_a_compressed_stream_that_is_cut_is_no_answer(dialect: str) -> None:
    packed = Rewritten(lambda body: gzip.compress(body)[:100], 16, (("content-encoding", "gzip"),))
    met = meet(dialect, [packed])
    assert met.error is not None
    assert met.error.code in {"truncated", "outcome_unknown", "unreadable_reply"}


@each_sse
def test_comments_alone_and_then_silence_end_with_the_time_out(dialect: str) -> None:
    met = meet(dialect, [Comments(3)])
    check_raised(met, "outcome_unknown", sends=ATTEMPTS, arrived=None)


@each_sse
def test_comments_without_end_end_with_the_deadline(dialect: str) -> None:
    met = meet(dialect, [Comments(None)], deadline=60.0)
    check_raised(met, "deadline", sends=1, arrived=None)


@dataclass(frozen=True, slots=True)
class Comments(Fault):
    """So many comments, one every two seconds, and then nothing; None: without end."""

    count: int | None

    async def play(self, turn: Turn) -> None:
        """Say nothing that means anything."""
        turn.start(turn.answer, CHUNKED)
        left = self.count
        while left is None or left > 0:
            await asyncio.sleep(2)
            await turn.write(chunk(b": keep-alive\n\n"))
            left = None if left is None else left - 1
        await asyncio.Event().wait()


@each_sse
def test_ten_thousand_comments_are_passed_over(dialect: str) -> None:
    check_answer(meet(dialect, [Rewritten(lambda body: b": hm\n\n" * 10_000 + body, 65_536)]))


@each_sse
def test_a_frame_without_end_is_given_up(dialect: str) -> None:
    endless = Rewritten(lambda _: b"data: " + b"a" * (33 << 20), 1 << 20)
    met = meet(dialect, [endless], request_timeout=2000.0)
    check_raised(met, "unreadable_reply", sends=ATTEMPTS, arrived=None)


@of_each(["openai", "openai-responses", "anthropic", "cohere"])
def test_what_comes_after_the_end_changes_nothing(dialect: str) -> None:
    more = sse(b"[DONE]") + sse(b"[DONE]") + b": bye\n\n"
    check_answer(meet(dialect, [Rewritten(lambda body: body + more)]))


@each_text
def test_a_frame_that_is_cut_by_another_is_no_answer(dialect: str) -> None:
    """Half a frame, and the stream goes on as if nothing had been."""
    at = frames_until(dialect, "within")
    line = b'{"half": "of a' if dialect == "ollama-native" else b'data: {"half": "of a'
    met = meet(dialect, [Then(at, line + b"\n\n")])
    assert met.error is not None
    assert met.error.code in {"truncated", "unreadable_reply"}
    assert met.error.to_dict()["retryable"] in {True, False}
    assert met.text == "echo: one "


# The AWS event stream.


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def prelude(total: int, headers: int) -> bytes:
    sizes = struct.pack(">II", total, headers)
    return sizes + struct.pack(">I", crc32(sizes)) + b"\x00" * 64


GOOD: Final = aws_event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"no"}}')
GARBLED: Final = {
    "length": damaged(GOOD, 2),
    "length of headers": damaged(GOOD, 7),
    "checksum of the start": damaged(GOOD, 9),
    "header": damaged(GOOD, 14),
    "payload": damaged(GOOD, len(GOOD) - 10),
    "checksum": damaged(GOOD, len(GOOD) - 1),
    "4 GiB": prelude(0xFFFF_FFFF, 20),
    "100 MiB": prelude(100 << 20, 20),
    "nothing": prelude(0, 0),
    "headers longer than all": prelude(64, 4096),
    "text": b"upstream connect error or disconnect/reset before headers",
}


@each_binary
@pytest.mark.parametrize("what", GARBLED)
def test_a_garbled_frame_is_never_read(dialect: str, what: str) -> None:
    met = meet(dialect, [Then(frames_until(dialect, "before"), GARBLED[what]), None])
    check_answer(met, sends=2)
    met = meet(dialect, [Then(frames_until(dialect, "within"), GARBLED[what]), None])
    check_raised(met, "unreadable_reply", sends=1, arrived="echo: one ")


@each_binary
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttlingException", "rate_limited"),
        ("validationException", "rejected"),
        ("modelStreamErrorException", "overloaded"),
        ("internalServerException", "overloaded"),
        ("serviceUnavailableException", "overloaded"),
    ],
)
def test_an_exception_within_a_stream_is_told_by_its_name(
    dialect: str, kind: str, code: str
) -> None:
    more = aws_exception(kind, b'{"message":"no"}')
    met = meet(dialect, [Then(frames_until(dialect, "within"), more)])
    check_raised(met, code, sends=1, arrived="echo: one ")


# Gemini's blocks.


def generated(*bodies: object) -> Rewritten:
    return Rewritten(lambda _: b"".join(sse(orjson.dumps(body)) for body in bodies))


BLOCKED: Final = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}


@pytest.mark.parametrize(
    "fault",
    [generated(BLOCKED), Body(orjson.dumps(BLOCKED)), Body(orjson.dumps([BLOCKED]))],
    ids=["streamed", "whole", "array"],
)
def test_a_blocked_prompt_is_no_answer(fault: Fault) -> None:
    met = meet("google", [fault])
    check_raised(met, "filtered", sends=1, arrived=None)


@pytest.mark.parametrize(
    ("reason", "code"), [("RECITATION", "filtered"), ("MALFORMED_FUNCTION_CALL", "overloaded")]
)
def test_a_candidate_without_words_is_what_its_reason_says(reason: str, code: str) -> None:
    met = meet("google", [generated({"candidates": [{"index": 0, "finishReason": reason}]})])
    assert met.error is not None
    assert (met.error.code, met.text) == (code, "")


def test_an_array_in_place_of_events_is_an_answer() -> None:
    """What Gemini sends where ``alt=sse`` got lost."""

    def change(body: bytes) -> bytes:
        return b"[" + b",\r\n".join(re.findall(rb"data: (.*)\n", body)) + b"]"

    check_answer(meet("google", [Rewritten(change, 50)]))


# Floods.


@dataclass(slots=True)
class CountedFlood(Fault):
    """``stream_faults.Flood`` that knows how many bytes it has written."""

    written: int = 0

    async def play(self, turn: Turn) -> None:
        """Send until the client goes away."""
        frames = turn.answer.frames
        middle = (len(frames) - 1) // 2
        turn.start(turn.answer, CHUNKED)
        await turn.write(chunk(b"".join(frames[:middle])))
        block = chunk(frames[middle] * 100)
        while True:
            self.written += len(block)
            await turn.write(block)


@each_dialect
def test_a_flood_comes_no_faster_than_it_is_read_and_stops_with_the_reader(dialect: str) -> None:
    async def main() -> None:
        flood = CountedFlood()
        async with (
            FakeServer(faults=lambda _: flood, keep=1) as server,
            client_of(dialect, server) as client,
        ):
            read = 0
            async with aclosing(client.stream_tokens(PROMPT)) as chunks:
                async for found in chunks:
                    read += isinstance(found, TextChunk)
                    if read == 1000:
                        break
                before = flood.written
                for _ in range(200):  # it may send what fits into the sockets, and no more
                    await asyncio.sleep(0)
                await asyncio.sleep(0.05)
                assert flood.written < before + (16 << 20)
            check_nothing_is_held(client)
            await quiet(server)

    asyncio.run(main())
