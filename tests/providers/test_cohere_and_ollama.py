"""Cohere and Ollama over HTTP: whole answers, streams, and calls that go back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import orjson
import pytest

from headrace import Conversation, LLMClient, RequestContext
from headrace.adapters.http import HttpExchange, Transport
from headrace.core.chunks import EndChunk, TextChunk, UsageChunk
from headrace.core.errors import OverloadedError, ReplyError, TruncatedError
from headrace.core.parts import ToolResult
from headrace.core.reply import Reply
from headrace.core.response import Usage
from headrace.providers.catalog import Catalog
from headrace.registry import resolve
from headrace.testing import FakeServer, plans, stream_faults
from tests.wire.golden import CODECS, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.chunks import Chunk
    from headrace.core.response import APIResponse
    from headrace.testing.faults import Fault

MODELS: Final = pytest.mark.parametrize("model", ["cohere/any", "ollama-native/any"])


class Open:
    """A gate that nothing shuts."""

    def is_shut(self) -> bool:
        return False

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        """Nobody asks."""


async def streamed(server: FakeServer, model: str, chunks: list[Chunk]) -> None:
    place = resolve.Place(base_url=server.anthropic_url)
    way = resolve.route(resolve.model_row(model), place)
    transport = Transport()

    exchange = HttpExchange(lambda: transport, way, 10.0, Open())
    request = Catalog().bind(RequestContext(prompt="one two"), way, exchange)
    try:
        async for chunk in request.stream_once():
            chunks.append(chunk)  # noqa: PERF401 - those before an error are kept
    finally:
        await transport.aclose()


def stream(model: str, fault: Fault | None, chunks: list[Chunk]) -> None:
    async def main() -> None:
        async with FakeServer(faults=plans.Sequence([fault])) as server:
            await streamed(server, model, chunks)

    asyncio.run(main())


@MODELS
@pytest.mark.parametrize(
    "fault", [None, stream_faults.Shredded(), stream_faults.Chatty()], ids=["plain", "cut", "chat"]
)
def test_a_streamed_answer_is_the_whole_answer(model: str, fault: Fault | None) -> None:
    chunks: list[Chunk] = []
    stream(model, fault, chunks)
    texts = [chunk.text for chunk in chunks if isinstance(chunk, TextChunk)]
    assert texts == ["echo: ", "one ", "two"]
    assert chunks[-2] == UsageChunk(Usage(2, 3))
    end = chunks[-1]
    assert isinstance(end, EndChunk)
    assert (end.response.completion, end.response.finish_reason) == ("echo: one two", "stop")
    assert end.response.usage == Usage(2, 3)


@MODELS
def test_a_stream_without_its_end_is_no_answer(model: str) -> None:
    chunks: list[Chunk] = []
    with pytest.raises(TruncatedError):
        stream(model, stream_faults.Cut(2), chunks)
    assert not any(isinstance(chunk, EndChunk) for chunk in chunks)


@MODELS
def test_an_error_in_a_stream_is_that_error(model: str) -> None:
    chunks: list[Chunk] = []
    with pytest.raises(OverloadedError, match="Overloaded"):
        stream(model, stream_faults.ErrorFrame(3), chunks)
    assert TextChunk("echo: ") in chunks


@MODELS
def test_a_client_asks_them(model: str) -> None:
    async def main() -> APIResponse[object]:
        async with (
            FakeServer() as server,
            LLMClient(model, base_url=server.anthropic_url, api_key="sk-0123456789") as client,
        ):
            return await client.ask("one two")

    response = asyncio.run(main())
    assert response.completion == "echo: one two"
    assert response.usage == Usage(2, 3)
    assert response.adaptations == ()


CALL: Final = {"function": {"name": "weather", "arguments": {}}}
OLLAMA: Final = {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [CALL]}
COHERE: Final = {
    "role": "assistant",
    "tool_plan": "I will look.",
    "tool_calls": [
        {"id": "w", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ],
}


def after(body: Mapping[str, object], wire: str, asked: Conversation) -> Conversation:
    """``asked`` with the answer in ``body`` and the result of its call."""
    way, codec = route(wire), CODECS[wire]
    answer = codec.decode(RequestContext(prompt=asked), way, Reply(200, orjson.dumps(body)))
    assert answer.message is not None
    [call] = answer.tool_calls
    return asked.add(answer.message).tool(ToolResult(call.id, "22"))


def sent(wire: str, asked: Conversation) -> list[dict[str, object]]:
    messages = orjson.loads(CODECS[wire].encode(RequestContext(prompt=asked), route(wire)).body)
    found: list[dict[str, object]] = messages["messages"]
    return found


def test_a_plan_goes_back_to_cohere_as_it_came() -> None:
    asked = after({"message": COHERE}, "cohere", Conversation().user("how warm?"))
    assert sent("cohere", asked)[1:] == [
        COHERE,
        {"role": "tool", "tool_call_id": "w", "content": "22"},
    ]


def test_calls_without_ids_are_told_apart_over_turns() -> None:
    asked = Conversation().user("how warm?")
    for _ in range(2):
        asked = after({"message": OLLAMA, "done": True}, "ollama", asked)
    assert sent("ollama", asked)[1:] == [
        turn
        for identity in ("call_0", "call_1")
        for turn in (
            {**OLLAMA, "tool_calls": [{"id": identity, **CALL}]},
            {
                "role": "tool",
                "content": "22",
                "tool_call_id": identity,
                "tool_name": "weather",
            },
        )
    ]


def test_what_one_api_thought_is_left_out_at_the_other() -> None:
    asked = after({"message": COHERE}, "cohere", Conversation().user("how warm?"))
    assert "I will look." not in str(sent("ollama", asked))


@pytest.mark.parametrize(
    ("wire", "frame", "end"),
    [
        (
            "cohere",
            b'{"type":"citation-start","delta":{"message":{"citations":%b}}}',
            b'{"type":"message-end","delta":{"finish_reason":"COMPLETE"}}',
        ),
        ("ollama", b'{"message":{"content":"hi"},"logprobs":%b}', b'{"done":true}'),
    ],
)
def test_a_stream_that_is_nested_too_deep_is_no_answer(wire: str, frame: bytes, end: bytes) -> None:
    fold = CODECS[wire].fold(RequestContext(prompt="hi"), route(wire))
    fold.feed("", frame % (b"[" * 500 + b"]" * 500))
    fold.feed("", end)
    with pytest.raises(ReplyError, match="nested too deep"):
        fold.reply()
