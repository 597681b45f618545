"""Gemini's streams, frame by frame, and what they come to: tests/golden/gemini_streams.json."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import ProviderError
from headrace.core.parts import ToolResult
from headrace.core.response import Usage
from headrace.wire import gemini
from tests.wire.golden import Case, cases, context, route
from tests.wire.test_any_input import ODD, almost_bodies
from tests.wire.test_golden import check_answer

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk
    from headrace.core.response import APIResponse


def data_of(frame: list[Any]) -> bytes:
    data = frame[1]
    return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def shown(chunk: Chunk) -> list[object]:
    match chunk:
        case TextChunk(text):
            return ["text", text]
        case ThinkingChunk(text):
            return ["thinking", text]
        case ToolCallChunk(index, arguments, identity, name):
            return ["call", index, identity, name, arguments]
        case UsageChunk(u):
            five = [u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens]
            return ["usage", [*five, u.reasoning_tokens]]
    raise AssertionError(chunk)


def run(case: Case, chunks: list[object]) -> APIResponse[object]:
    asked, way = context(case), route("gemini", case)
    fold = gemini.fold(asked, way)
    for frame in case["frames"]:
        chunks += [shown(chunk) for chunk in fold.feed(frame[0], data_of(frame))]
    return gemini.decode(asked, way, fold.reply())


@pytest.mark.parametrize("case", cases("gemini_streams.json"))
def test_streams(case: Case) -> None:
    chunks: list[object] = []
    if "answer" in case:
        check_answer(run(case, chunks), case["answer"])
    else:
        with pytest.raises(ProviderError) as caught:
            run(case, chunks)
        assert caught.value.code == case["code"]
        assert caught.value.hint == case.get("hint")
        if "usage" in case:
            assert caught.value.usage == Usage(*case["usage"])
    assert chunks == case["chunks"]


def test_any_cut_of_a_stream_before_its_finish_is_told() -> None:
    whole = next(c.values[0] for c in cases("gemini_streams.json") if c.id == "words")
    for end in range(len(whole["frames"])):
        with pytest.raises(ProviderError) as caught:
            run({**whole, "frames": whole["frames"][:end]}, [])
        assert caught.value.code == "truncated"


@pytest.mark.once
@given(st.lists(almost_bodies() | ODD.map(lambda odd: json.dumps(odd).encode()), max_size=3))
def test_any_frames_are_an_answer_or_a_typed_error(frames: list[bytes]) -> None:
    asked, way = context({}), route("gemini")
    fold = gemini.fold(asked, way)
    with suppress(ProviderError):
        for frame in frames:
            fold.feed("", frame)
        gemini.decode(asked, way, fold.reply())


def test_an_answer_goes_back_as_it_came() -> None:
    """What the model signed stands on the same part, in its place; so Gemini 3 demands."""
    parts = [
        {"text": "hm", "thought": True, "thoughtSignature": "czE="},
        {"text": "so", "thoughtSignature": "czI="},
        {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "czM="},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "czQ="},
        {"functionCall": {"name": "g", "args": {}}},
        {"text": "", "thoughtSignature": "czU="},
    ]
    content = {"role": "model", "parts": parts}
    frame = {"responseId": "r", "candidates": [{"content": content, "finishReason": "STOP"}]}
    answer = run({"frames": [["", frame]]}, [])
    assert answer.message is not None
    results = [ToolResult(call.id, "done") for call in answer.tool_calls]
    asked = Conversation().user("hi").add(answer.message).tool(*results)
    draft = gemini.encode(RequestContext(prompt=asked), route("gemini"))
    _, model, user = json.loads(draft.body)["contents"]
    assert model == content
    assert user["parts"] == [
        {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "done"}}},
        {"functionResponse": {"name": "g", "response": {"output": "done"}}},
    ]
    assert not draft.adaptations
