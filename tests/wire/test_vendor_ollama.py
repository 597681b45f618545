"""What we send is of the types that Ollama's SDK publishes; what its models hold we read."""

from __future__ import annotations

import json
from typing import Any, Final, cast

import pytest
from ollama import ChatResponse, Message, Options
from ollama._types import ChatRequest  # the SDK has no other door to what it sends

from headrace.core.parts import Thinking, ToolCall
from headrace.core.reply import Reply
from headrace.core.response import Usage
from headrace.wire import ollama
from tests.wire.golden import Case, cases, context, route

pytestmark = pytest.mark.once
REQUESTS: Final = [
    case
    for case in cases("ollama_requests.json")
    # What a user says word for word is of no type.
    if "body" in case.values[0] and case.values[0]["case"] != "a tool word for word"
]
# What the server's own types have (api/types.go of August 2026), and SDK 0.6 has not.
NEWER_OPTIONS: Final = {"min_p"}


def without_ids(turn: dict[str, Any]) -> dict[str, Any]:
    """A message as SDK 0.6 knows it: calls have no ids, and neither have results."""
    known = {name: value for name, value in turn.items() if name != "tool_call_id"}
    if "tool_calls" in known:
        known["tool_calls"] = [{"function": call["function"]} for call in known["tool_calls"]]
    return known


def read(turn: dict[str, Any]) -> Message:
    images = [{"value": image} for image in turn.get("images", ())]
    return Message.model_validate({**turn, **({"images": images} if images else {})})


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_is_what_the_sdk_would_send(case: Case) -> None:
    draft = ollama.encode(context(case), route("ollama", case), stream=case.get("stream", False))
    body: dict[str, Any] = json.loads(draft.body)
    body["messages"] = [without_ids(turn) for turn in body["messages"]]
    made = ChatRequest.model_validate({**body, "messages": [read(m) for m in body["messages"]]})
    kept = {name: value for name, value in body.items() if value is not None}
    assert made.model_dump(exclude_none=True) == kept
    assert (body.get("options") or {}).keys() <= Options.model_fields.keys() | NEWER_OPTIONS


def test_the_check_sees_what_is_wrong() -> None:
    messages = [Message(role="user", content="hi")]
    odd = ChatRequest.model_validate({"model": "m", "messages": messages, "sream": False})
    assert "sream" not in odd.model_dump(exclude_none=True)
    with pytest.raises(ValueError, match="think"):
        ChatRequest.model_validate({"model": "m", "messages": messages, "think": {}})


def test_an_answer_of_the_sdk_is_read() -> None:
    function = Message.ToolCall.Function(name="f", arguments={"x": 1})
    made = ChatResponse(
        model="m:1b",
        created_at="2026-11-21T00:00:00Z",
        done=True,
        done_reason="stop",
        total_duration=9,
        load_duration=1,
        prompt_eval_count=26,
        prompt_eval_duration=2,
        eval_count=3,
        eval_duration=4,
        message=Message(
            role="assistant",
            content="",
            thinking="hm",
            tool_calls=[Message.ToolCall(function=function)],
        ),
    )
    reply = Reply(200, made.model_dump_json().encode())
    answer = ollama.decode(context({}), route("ollama"), reply)
    call = ToolCall("call_0", "f", '{"x":1}')
    assert answer.content == (Thinking("hm"), call)
    assert (answer.tool_calls, answer.thinking, answer.finish_reason) == ((call,), "hm", "tool")
    assert (answer.usage, answer.model) == (Usage(26, 3), "m:1b")
    assert cast("int", answer.metadata["eval_duration"]) == 4


def test_lines_of_the_sdk_are_folded() -> None:
    fold = ollama.fold(context({}), route("ollama"))
    for word in ("h", "i"):
        line = ChatResponse(model="m", done=False, message=Message(role="assistant", content=word))
        fold.feed("", line.model_dump_json(exclude_none=True).encode())
    end = Message(role="assistant", content="")
    last = ChatResponse(model="m", done=True, done_reason="length", eval_count=2, message=end)
    fold.feed("", last.model_dump_json().encode())
    answer = ollama.decode(context({}), route("ollama"), fold.reply())
    assert (answer.completion, answer.finish_reason) == ("hi", "length")
    assert answer.usage == Usage(0, 2)
