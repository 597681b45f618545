"""The real local model through OpenAI Chat, OpenAI Responses and Anthropic Messages alike.

Plain, streamed, by a schema and with tools: what comes is the model's own, and the same in each.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from headrace import Conversation, SamplingParams
from headrace.core.chunks import EndChunk, TextChunk, ToolCallChunk, UsageChunk
from tests.scenarios.real import (
    ADA,
    OF_ADA,
    OF_PARIS,
    Person,
    client_of,
    needs_model,
    weather,
)
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import LLMClient

pytestmark = needs_model
WAYS = {
    "chat": ("openai_chat", "native"),
    "responses": ("openai_responses", "tool"),
    "messages": ("anthropic", "tool"),
}


@pytest.fixture(params=first_of(*WAYS.values()), ids=list(WAYS))
def client(request: pytest.FixtureRequest) -> Iterator[LLMClient]:
    yield from client_of(*request.param)


def test_it_answers(client: LLMClient) -> None:
    conversation = Conversation().system("Be brief.").user("Say hello.")
    [row] = client.process_prompts_sync([conversation], show_progress=False)
    assert row.raise_for_error().completion
    assert (row.finish_reason, row.model) == ("stop", "smollm2")
    assert row.usage is not None
    assert 0 < row.usage.output_tokens <= 40
    assert row.usage.input_tokens + row.usage.cache_read_tokens > 10
    assert row.message is not None
    again = client.process_prompts_sync([conversation.add(row.message).user("And now?")])
    assert again[0].raise_for_error().completion


def test_its_words_come_before_the_end(client: LLMClient) -> None:
    chunks, came_at = [], []
    for chunk in client.stream_tokens_sync("Say hello."):
        chunks.append(chunk)
        came_at.append(time.monotonic())
    *before, end = chunks
    assert isinstance(end, EndChunk)
    words = [chunk.text for chunk in before if isinstance(chunk, TextChunk)]
    assert len(words) > 2
    assert "".join(words) == end.response.completion
    assert end.response.usage is not None
    assert UsageChunk(end.response.usage) in before
    # A word takes milliseconds to make: had they come as one block, this were a fraction of one.
    assert came_at[-1] - came_at[0] > 0.005


def test_a_schema_gives_a_value(client: LLMClient) -> None:
    [row] = client.process_prompts_sync([OF_ADA], output_schema=Person, show_progress=False)
    assert row.raise_for_error().parsed == ADA
    assert row.tool_calls == ()
    assert json.loads(row.completion or "") == ADA.model_dump()


def test_a_streamed_answer_keeps_to_a_schema(client: LLMClient) -> None:
    *chunks, end = client.stream_tokens_sync(OF_ADA, output_schema=Person)
    assert isinstance(end, EndChunk)
    assert end.response.parsed == ADA
    words = [chunk.text for chunk in chunks if isinstance(chunk, TextChunk)]
    assert len(words) > 2
    assert json.loads("".join(words)) == json.loads(end.response.completion or "")


def test_it_calls_a_tool_and_answers_with_what_that_gave_back(client: LLMClient) -> None:
    run = client.run_tool_loop_sync(OF_PARIS, tools=[weather], max_rounds=3)
    asked, said = run.rounds
    [call] = asked.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})
    assert asked.finish_reason == "tool"
    assert run.response is said
    assert "sunny" in (said.raise_for_error().completion or "")


def test_a_streamed_call_comes_in_pieces(client: LLMClient) -> None:
    *chunks, end = client.stream_tokens_sync(OF_PARIS, tools=[weather])
    assert isinstance(end, EndChunk)
    [call] = end.response.tool_calls
    pieces = [chunk for chunk in chunks if isinstance(chunk, ToolCallChunk)]
    assert [chunk.name for chunk in pieces if chunk.name] == ["weather"]
    assert len(pieces) > 2
    arguments = "".join(chunk.arguments for chunk in pieces)
    assert json.loads(arguments) == json.loads(call.arguments) == {"city": "Paris"}


def test_who_must_call_a_tool_does(client: LLMClient) -> None:
    params = SamplingParams(max_tokens=40, temperature=0, tool_choice="required")
    [row] = client.process_prompts_sync(
        [OF_PARIS], tools=[weather], sampling_params=params, show_progress=False
    )
    assert [call.name for call in row.raise_for_error().tool_calls] == ["weather"]
