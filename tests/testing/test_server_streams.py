"""The fake server streams in each dialect, and each fault for streams does what it says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import aiohttp
import orjson
import pytest

from headrace.testing import FakeServer, plans, stream_faults
from headrace.testing.faults import Latency, Status
from headrace.wire.framing import Decoder, Frame, NDJSONDecoder, SSEDecoder
from tests.testing.asking import chat, turns

if TYPE_CHECKING:
    from headrace.testing.faults import Fault

TEXT: Final = "echo: one two"
GEMINI: Final = {"contents": [{"role": "user", "parts": [{"text": "one two"}]}]}
ASKED: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "openai": ("/v1/chat/completions", chat("one two", stream=True)),
    "openai_responses": (
        "/v1/responses",
        {"model": "m", "input": [{"role": "user", "content": "one two"}], "stream": True},
    ),
    "anthropic": ("/v1/messages", chat("one two", stream=True, max_tokens=9)),
    "gemini": ("/v1beta/models/m:streamGenerateContent?alt=sse", dict(GEMINI)),
    "cohere": ("/v2/chat", chat("one two", stream=True)),
    "ollama": ("/api/chat", chat("one two")),
}
DIALECTS: Final = pytest.mark.parametrize("dialect", ASKED)


class Got(NamedTuple):
    """What came of a request: the frames, how it broke off, and the server afterwards."""

    status: int
    kind: str
    body: bytes
    frames: list[Frame]
    broke: bool
    server: FakeServer

    def data(self) -> list[dict[str, object]]:
        return [orjson.loads(f.data) for f in self.frames if f.data != b"[DONE]"]


def ask(dialect: str, fault: Fault | None = None, **more: object) -> Got:
    path, body = ASKED[dialect]

    async def main() -> Got:
        async with (
            FakeServer(faults=plans.Sequence([fault])) as server,
            aiohttp.ClientSession() as session,
            session.post(f"{server.anthropic_url}{path}", json=body | more) as reply,
        ):
            decoder, read, frames, broke = decoder_for(dialect), b"", [], False
            try:
                async for block in reply.content.iter_any():
                    read += block
                    frames += decoder.feed(block)
            except aiohttp.ClientError:
                broke = True
            frames += decoder.end()
            await turns()
            return Got(reply.status, reply.content_type, read, frames, broke, server)

    return asyncio.run(main())


def decoder_for(dialect: str) -> Decoder:
    return NDJSONDecoder() if dialect == "ollama" else SSEDecoder()


def text_of(dialect: str, frame: Frame) -> str:
    """The text that a frame carries, read as the vendors' references say."""
    if frame.data == b"[DONE]":
        return ""
    data = orjson.loads(frame.data)
    match dialect:
        case "openai":
            return "".join(c["delta"].get("content") or "" for c in data["choices"])
        case "gemini":
            return "".join(p["text"] for c in data["candidates"] for p in c["content"]["parts"])
        case "openai_responses":
            return str(data["delta"]) if frame.event.endswith("text.delta") else ""
        case "cohere":
            has_text = frame.event == "content-delta"
            return str(data["delta"]["message"]["content"]["text"]) if has_text else ""
        case "ollama":
            return str(data["message"]["content"])
    return str(data["delta"]["text"]) if frame.event == "content_block_delta" else ""


# Each dialect.


@DIALECTS
def test_an_answer_comes_word_by_word(dialect: str) -> None:
    got = ask(dialect)
    kind = "application/x-ndjson" if dialect == "ollama" else "text/event-stream"
    assert (got.status, got.kind, got.broke) == (200, kind, False)
    words = [text for frame in got.frames if (text := text_of(dialect, frame))]
    assert words == ["echo: ", "one ", "two"]
    [seen] = got.server.received
    assert (seen.stream, seen.dialect, seen.prompt) == (True, dialect, "one two")
    assert got.server.answered == {"one two": 1}


def test_chat_chunks() -> None:
    frames = ask("openai").frames
    assert frames[-1] == Frame("", b"[DONE]")
    rows = [orjson.loads(frame.data) for frame in frames[:-1]]
    assert {row["object"] for row in rows} == {"chat.completion.chunk"}
    assert [row["choices"][0]["finish_reason"] for row in rows] == [None] * 4 + ["stop"]
    assert rows[0]["choices"][0]["delta"]["role"] == "assistant"
    assert not any("usage" in row for row in rows)


def test_chat_chunks_tell_usage_where_it_is_asked_for() -> None:
    *rows, last = ask("openai", stream_options={"include_usage": True}, max_tokens=2).data()
    assert all(row["usage"] is None for row in rows)
    assert last["choices"] == []
    assert cast("dict[str, object]", last["usage"])["total_tokens"] == 4
    assert "'finish_reason': 'length'" in str(rows[-1])


@pytest.mark.parametrize(("bound", "finish"), [(9, "completed"), (1, "incomplete")])
def test_events_of_responses(bound: int, finish: str) -> None:
    got = ask("openai_responses", max_output_tokens=bound)
    rows = got.data()
    assert [frame.event for frame in got.frames] == [row["type"] for row in rows]
    assert [row["sequence_number"] for row in rows] == list(range(len(rows)))
    names = [frame.event.removeprefix("response.") for frame in got.frames]
    assert names == [
        *["created", "in_progress", "output_item.added", "content_part.added"],
        *["output_text.delta"] * min(bound, 3),
        *["output_text.done", "content_part.done", "output_item.done", finish],
    ]
    response = cast("dict[str, object]", rows[-1]["response"])
    assert response["status"] == finish
    assert response["usage"]


def test_events_of_messages() -> None:
    got = ask("anthropic")
    rows = got.data()
    assert [frame.event for frame in got.frames] == [row["type"] for row in rows]
    assert [frame.event for frame in got.frames] == [
        *["message_start", "content_block_start", "ping"],
        *["content_block_delta"] * 3,
        *["content_block_stop", "message_delta", "message_stop"],
    ]
    message = cast("dict[str, object]", rows[0]["message"])
    assert (message["content"], message["stop_reason"]) == ([], None)
    assert rows[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert rows[-2]["usage"] == {"output_tokens": 3}


def test_chunks_of_gemini() -> None:
    rows = ask("gemini").data()
    candidates = [cast("list[dict[str, object]]", row["candidates"])[0] for row in rows]
    assert [row.get("finishReason") for row in candidates] == [None, None, "STOP"]
    assert all(row["usageMetadata"] for row in rows)
    assert cast("dict[str, object]", rows[-1]["usageMetadata"])["totalTokenCount"] == 5


def test_events_of_cohere() -> None:
    got = ask("cohere", max_tokens=2)
    rows = got.data()
    assert [frame.event for frame in got.frames] == [row["type"] for row in rows]
    assert [frame.event for frame in got.frames] == [
        *["message-start", "content-start", "content-delta", "content-delta"],
        *["content-end", "message-end"],
    ]
    end = cast("dict[str, object]", rows[-1]["delta"])
    assert end["finish_reason"] == "MAX_TOKENS"
    assert "billed_units" in str(end["usage"])


def test_lines_of_ollama() -> None:
    rows = ask("ollama", options={"num_predict": 2}).data()
    assert [row["done"] for row in rows] == [False, False, True]
    assert (rows[-1]["done_reason"], rows[-1]["eval_count"]) == ("length", 2)
    whole = ask("ollama", stream=False)
    assert (whole.kind, len(whole.frames)) == ("application/json", 1)


@pytest.mark.parametrize("query", ["", "?alt=json", "?alt=ssex"])
def test_gemini_streams_events_only_where_it_is_asked_so(query: str) -> None:
    async def main() -> int:
        async with FakeServer() as server, aiohttp.ClientSession() as session:
            url = f"{server.anthropic_url}/v1beta/models/m:streamGenerateContent{query}"
            async with session.post(url, json=GEMINI) as reply:
                return reply.status

    assert asyncio.run(main()) == 400


# Each fault.


@DIALECTS
def test_a_stream_may_end_well_without_its_finish(dialect: str) -> None:
    whole = ask(dialect).frames
    for after in (0, 2):
        got = ask(dialect, stream_faults.Cut(after))
        assert (got.frames, got.broke, got.status) == (whole[:after], False, 200)
        assert got.server.answered == {}
        assert got.server.ledger.connections_total == 1


@pytest.mark.parametrize("reset", [False, True])
def test_a_stream_may_break_off(reset: bool) -> None:
    got = ask("openai", stream_faults.Drop(2, reset))
    assert got.broke
    assert got.frames == ask("openai").frames[:2]
    assert got.server.answered == {}


@DIALECTS
def test_a_shredded_stream_is_honest(dialect: str) -> None:
    whole, got = ask(dialect), ask(dialect, stream_faults.Shredded())
    assert (got.body, got.frames, got.broke) == (whole.body, whole.frames, False)
    assert got.server.answered == {"one two": 1}


@DIALECTS
def test_what_keeps_a_connection_alive_means_nothing(dialect: str) -> None:
    whole, got = ask(dialect), ask(dialect, stream_faults.Chatty())
    comments = 0 if dialect == "ollama" else len(whole.frames)
    assert got.body.count(b": PROCESSING") == comments
    assert len(got.body) > len(whole.body)
    pings = Frame("ping", b'{"type":"ping"}')
    assert [f for f in got.frames if f != pings] == [f for f in whole.frames if f != pings]
    assert got.server.answered == {"one two": 1}


@pytest.mark.parametrize(
    ("dialect", "event", "data"),
    [
        ("openai", "", {"error": {"type": "server_error", "message": "Overloaded"}}),
        ("openai_responses", "error", {"type": "error", "code": "server_error"}),
        ("anthropic", "error", {"type": "error", "error": {"type": "overloaded_error"}}),
        ("gemini", "", {"error": {"code": 529, "status": "INTERNAL"}}),
        ("cohere", "message-end", {"delta": {"finish_reason": "ERROR", "error": "Overloaded"}}),
        ("ollama", "", {"error": "Overloaded"}),
    ],
)
def test_an_error_stands_in_a_stream(dialect: str, event: str, data: dict[str, object]) -> None:
    got = ask(dialect, stream_faults.ErrorFrame(2))
    assert (got.status, got.broke, len(got.frames)) == (200, False, 3)
    assert got.frames[:2] == ask(dialect).frames[:2]
    assert got.frames[2].event == event
    assert within(data, orjson.loads(got.frames[2].data))
    assert (b"data:" in got.body.splitlines()[-2]) == (dialect not in {"gemini", "ollama"})
    assert got.server.answered == {}


def within(part: object, whole: object) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(within(value, whole.get(name)) for name, value in part.items())
    return part == whole


@DIALECTS
def test_a_flood_and_a_silence_end_when_the_client_goes(dialect: str) -> None:
    async def main(fault: Fault, size: int) -> list[Frame]:
        path, body = ASKED[dialect]
        decoder, read = decoder_for(dialect), 0
        frames: list[Frame] = []
        async with FakeServer(faults=plans.Sequence([fault])) as server:
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{server.anthropic_url}{path}", json=body) as reply,
            ):
                while read < size or not frames:
                    block = await reply.content.readany()
                    assert block
                    read += len(block)
                    frames += decoder.feed(block)
            while server.ledger.in_flight:  # noqa: ASYNC110 - a few turns of the loop
                await asyncio.sleep(0)
            assert server.ledger.abandoned == 1
            return frames

    flood = asyncio.run(main(stream_faults.Flood(), 1 << 20))
    assert text_of(dialect, flood[-1]) == text_of(dialect, flood[-2]) != ""
    assert len(asyncio.run(main(stream_faults.Silence(1), 1))) == 1


def test_faults_for_replies_meet_streams_too() -> None:
    refused = ask("openai", Status(503))
    assert (refused.status, refused.kind) == (503, "application/json")
    whole = ask("openai")
    for late in (Latency(0.001), Latency(0.001, stream_faults.Whole())):
        assert ask("openai", late).body == whole.body


def test_a_fault_for_streams_met_by_another_request_is_said() -> None:
    async def main() -> None:
        async with (
            FakeServer(faults=lambda _: stream_faults.Cut(1)) as server,
            aiohttp.ClientSession() as session,
        ):
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await session.post(f"{server.base_url}/chat/completions", json=chat())

    with pytest.raises(ValueError, match="which asked for none"):
        asyncio.run(main())
