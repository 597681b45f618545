"""The real local model asked through OpenAI Chat: whole, streamed, by a schema, with tools.

llama.cpp holds the answer to ``response_format``. This model's template has no place for tools, so
that they are taken and never called; what one gave back is read.
"""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Final

import pytest
from pydantic import BaseModel

from headrace import Conversation, LLMClient, RequestContext, SamplingParams
from headrace.adapters.local import shared
from headrace.core.chunks import EndChunk, TextChunk, UsageChunk
from headrace.core.parts import ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterator

HAS_MODEL: Final = importlib.util.find_spec("xllamacpp") is not None
pytestmark = [
    pytest.mark.real,
    # The first start may fetch the weights.
    pytest.mark.timeout(300),
    pytest.mark.skipif(not HAS_MODEL, reason="xllamacpp is not installed (extra: local)"),
]
SHORT: Final = SamplingParams(max_tokens=12, temperature=0)


class Person(BaseModel):
    """What the answer is to be."""

    age: int


def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"It is sunny in {city}."


@pytest.fixture
def client() -> Iterator[LLMClient]:
    with LLMClient("openai/smollm2", base_url=shared().base_url, api_key="sk-unused") as made:
        yield made


def test_it_answers(client: LLMClient) -> None:
    conversation = Conversation().system("Be brief.").user("Say hello.")
    asked = RequestContext(prompt=conversation, params=SHORT)
    [row] = client.process_prompts_sync([asked], show_progress=False)
    assert row.error is None
    assert row.completion
    assert row.model == "smollm2"
    assert row.usage is not None
    assert 0 < row.usage.output_tokens <= 12


def test_its_words_come_before_the_end(client: LLMClient) -> None:
    chunks, came_at = [], []
    for chunk in client.stream_tokens_sync("Say hello.", sampling_params=SHORT):
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
    params = SamplingParams(max_tokens=40, temperature=0)
    [row] = client.process_prompts_sync(
        ["A person's age."], output_schema=Person, sampling_params=params, show_progress=False
    )
    assert row.error is None
    assert isinstance(row.parsed, Person)
    assert row.attempts == 1


def test_a_streamed_answer_keeps_to_a_schema(client: LLMClient) -> None:
    params = SamplingParams(max_tokens=40, temperature=0)
    *_, end = client.stream_tokens_sync(
        "A person's age.", output_schema=Person, sampling_params=params
    )
    assert isinstance(end, EndChunk)
    assert isinstance(end.response.parsed, Person)


def test_what_a_tool_gave_back_reaches_the_model(client: LLMClient) -> None:
    call = ToolCall("call_1", "weather", '{"city":"Paris"}')
    asked = Conversation().user("What is the weather in Paris?").assistant([call])
    run = client.run_tool_loop_sync(
        asked.tool(ToolResult("call_1", weather("Paris"))),
        tools=[weather],
        max_rounds=2,
        sampling_params=SHORT,
    )
    assert run.response.error is None
    assert "sunny" in (run.response.completion or "")
