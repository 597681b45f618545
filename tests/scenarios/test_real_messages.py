"""A real model by Anthropic's Messages, as llama.cpp serves them.

Its Messages take tools and their results, but no schema: ``output_config`` is passed over there.
"""

from __future__ import annotations

import asyncio
import importlib.util
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from headrace import Conversation, LLMClient, Message, RequestContext, SamplingParams
from headrace.adapters.local import shared
from headrace.core.chunks import EndChunk, TextChunk, UsageChunk
from headrace.core.parts import ToolCall, ToolResult
from headrace.core.tools import Tool
from headrace.wire import anthropic
from tests.wire.golden import route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import APIResponse

HAS_MODEL: Final = importlib.util.find_spec("xllamacpp") is not None
pytestmark = [
    pytest.mark.real,
    # The first start may fetch the weights.
    pytest.mark.timeout(300),
    pytest.mark.skipif(not HAS_MODEL, reason="xllamacpp is not installed (extra: local)"),
]
SHORT: Final = SamplingParams(max_tokens=12, temperature=0)
WEATHER: Final = Tool(
    "weather",
    "Tells the weather of a city.",
    '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}',
)
ASKED: Final = Conversation.of("What is the weather in Paris?").add(
    Message.assistant((ToolCall("t1", "weather", '{"city":"Paris"}'),)),
    Message.tool(ToolResult("t1", "sunny")),
)


def answer_to(asked: RequestContext) -> APIResponse[object]:
    """The model's answer; raises what went wrong."""

    async def ask() -> APIResponse[object]:
        url = shared().anthropic_url
        async with LLMClient("anthropic/smollm2", base_url=url, sampling_params=SHORT) as client:
            return await client.process_single_request(asked)

    return asyncio.run(ask()).raise_for_error()


def test_a_prompt_is_answered() -> None:
    response = answer_to(RequestContext(prompt="Say hello."))
    assert response.completion
    assert response.finish_reason in {"stop", "length"}
    assert response.usage is not None
    assert 0 < response.usage.output_tokens <= 12
    assert response.usage.input_tokens + response.usage.cache_read_tokens > 0


def test_what_a_tool_gave_back_reaches_the_model() -> None:
    response = answer_to(RequestContext(prompt=ASKED, tools=(WEATHER,)))
    assert "sunny" in (response.completion or "")
    assert response.adaptations == ()


def test_system_messages_before_and_within() -> None:
    talk = Conversation().system("You are a poet.").user("Hi.").assistant("Hello!").system("Rhyme.")
    response = answer_to(RequestContext(prompt=talk.user("Go on.")))
    assert response.completion
    assert [sentence.partition(":")[0] for sentence in response.adaptations] == [
        "temperature is left out"
    ]


def frames(asked: RequestContext) -> Iterator[tuple[str, bytes]]:
    """The events that the server sends for ``asked``."""
    draft = anthropic.encode(asked, route("anthropic"), stream=True)
    connection = HTTPConnection(urlsplit(shared().anthropic_url).netloc, timeout=60)
    headers = {**dict(draft.headers), "content-type": "application/json"}
    connection.request("POST", draft.path, draft.body, headers)
    answer = connection.getresponse()
    assert answer.status == 200
    for event in answer.read().split(b"\n\n"):
        fields = dict(line.partition(b": ")[::2] for line in event.splitlines())
        if b"data" in fields:
            yield fields[b"event"].decode(), fields[b"data"]
    connection.close()


def test_a_stream_folds_into_the_answer_that_comes_without_one() -> None:
    asked = RequestContext(prompt="Count: 1, 2, 3,", params=SHORT)
    fold = anthropic.fold(asked, route("anthropic"))
    chunks = [chunk for event, data in frames(asked) for chunk in fold.feed(event, data)]
    answer = anthropic.decode(asked, route("anthropic"), fold.reply())
    said = "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))
    assert said == answer.completion != ""
    assert isinstance(chunks[-1], UsageChunk)
    assert answer.usage == chunks[-1].usage
    assert answer.finish_reason in {"stop", "length"}
    assert answer.model == "smollm2"


def test_its_words_come_through_a_client_before_the_end() -> None:
    url = shared().anthropic_url
    with LLMClient("anthropic/smollm2", base_url=url, sampling_params=SHORT) as client:
        *before, end = client.stream_tokens_sync("Say hello.")
    assert isinstance(end, EndChunk)
    words = [chunk.text for chunk in before if isinstance(chunk, TextChunk)]
    assert len(words) > 2
    assert "".join(words) == end.response.completion
