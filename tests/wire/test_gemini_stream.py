"""Gemini's streams, beside the cases of tests/golden/gemini_streams.json."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import ProviderError
from headrace.core.parts import ToolResult
from headrace.wire import gemini
from tests.wire.golden import context, route
from tests.wire.test_any_input import ODD, almost_bodies
from tests.wire.test_golden_streams import answered


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
    answer = answered("gemini", {}, [["", frame]], [])
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
