"""The real local model asked through OpenAI Responses, as far as llama.cpp speaks it.

It does so with what it has: ``text.format`` is not read there (``json_schema`` of its own is), a
cut answer is called completed, and this model's template has no place for tools, so that they are
taken and never called.
"""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Final

import pytest

from headrace import Conversation, LLMClient, RequestContext, SamplingParams
from headrace.adapters.local import shared
from headrace.core.chunks import EndChunk, TextChunk, UsageChunk
from headrace.core.parts import ToolCall, ToolResult
from headrace.core.schema import OutputSchema
from headrace.core.tools import Tool

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
WEATHER: Final = Tool("weather", "The weather in a city.")
AGE: Final = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
    "additionalProperties": False,
}


@pytest.fixture
def client() -> Iterator[LLMClient]:
    base_url = shared().base_url
    with LLMClient("openai-responses/smollm2", base_url=base_url, api_key="sk-unused") as made:
        yield made


def ask(client: LLMClient, context: RequestContext) -> APIResponse[object]:
    [row] = client.process_prompts_sync([context], show_progress=False)
    return row.raise_for_error()


def test_it_answers(client: LLMClient) -> None:
    conversation = Conversation().system("Be brief.").user("Say hello.")
    row = ask(client, RequestContext(prompt=conversation, params=SHORT))
    assert row.completion
    assert (row.finish_reason, row.model) == ("stop", "smollm2")
    assert row.usage is not None
    assert 0 < row.usage.output_tokens <= 12
    assert row.message is not None
    again = ask(client, RequestContext(prompt=conversation.add(row.message).user("And now?")))
    assert again.completion


def test_it_keeps_to_a_schema(client: LLMClient) -> None:
    schema = OutputSchema("person", json.dumps(AGE), json.loads)
    params = SamplingParams(max_tokens=40, temperature=0, extra_body={"json_schema": AGE})
    asked = RequestContext(prompt="A person's age.", params=params, output_schema=schema)
    said = json.loads(ask(client, asked).completion or "")
    assert isinstance(said.pop("age"), int)
    assert said == {}


def test_it_takes_tools_and_their_results(client: LLMClient) -> None:
    conversation = Conversation().user("How is the weather?")
    first = ask(client, RequestContext(prompt=conversation, params=SHORT, tools=(WEATHER,)))
    assert first.completion
    call = ToolCall("call_1", "weather", "{}")
    conversation = conversation.assistant([call]).tool(ToolResult("call_1", "It rains."))
    second = ask(client, RequestContext(prompt=conversation, params=SHORT, tools=(WEATHER,)))
    assert second.completion


def test_its_stream_adds_up_to_the_answer(client: LLMClient) -> None:
    *chunks, end = client.stream_tokens_sync("Say hello.", sampling_params=SHORT)
    assert isinstance(end, EndChunk)
    said = "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))
    assert said == end.response.completion
    assert len(chunks) > 2
    assert end.response.usage is not None
    assert UsageChunk(end.response.usage) in chunks
