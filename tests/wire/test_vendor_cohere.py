"""What we send is of the types that Cohere's SDK publishes; what its models hold we read."""

from __future__ import annotations

import inspect
import json
import typing
from typing import TYPE_CHECKING, Any, Final

import pytest
from cohere import types as sdk
from cohere.v2 import client as sdk_client
from cohere.v2 import types as sdk_v2
from pydantic import BaseModel, TypeAdapter

from headrace.core.parts import Text, Thinking, ToolCall
from headrace.core.reply import Reply
from headrace.core.response import Usage
from headrace.wire import cohere
from tests.wire.golden import Case, cases, context, route

if TYPE_CHECKING:
    from collections.abc import Iterator

# The import takes about a second.
pytestmark = pytest.mark.once
# What a user says word for word is of no type.
WORD_FOR_WORD: Final = {"a tool word for word", "a block of its own"}
REQUESTS: Final = [
    case
    for case in cases("cohere_requests.json")
    if "body" in case.values[0] and case.values[0]["case"] not in WORD_FOR_WORD
]
CHAT: Final = typing.get_type_hints(sdk_client.V2Client.chat)


def unknown(value: object) -> Iterator[str]:
    """Names that the SDK's models have no field for, which they would let pass."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or {}
        for name in type(value).model_fields:
            yield from unknown(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from unknown(item)


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_is_of_the_types_of_the_sdk(case: Case) -> None:
    draft = cohere.encode(context(case), route("cohere", case), stream=case.get("stream", False))
    body: dict[str, Any] = json.loads(draft.body)
    assert body.pop("stream") is case.get("stream", False)  # which chat and chat_stream add
    assert body.keys() <= inspect.signature(sdk_client.V2Client.chat).parameters.keys()
    for name, value in body.items():
        read = TypeAdapter(CHAT[name]).validate_python(value)
        assert list(unknown(read)) == [], name


def test_the_check_sees_what_is_wrong() -> None:
    messages = TypeAdapter(CHAT["messages"])
    odd = messages.validate_python([{"role": "user", "content": "a", "plan": "b"}])
    assert list(unknown(odd)) == ["plan"]
    with pytest.raises(ValueError, match="content"):
        messages.validate_python([{"role": "user", "content": 1}])


def reply_of(model: BaseModel) -> Reply:
    return Reply(200, model.model_dump_json().encode())


BILLED: Final = sdk.Usage(
    billed_units=sdk.UsageBilledUnits(input_tokens=5, output_tokens=2),
    tokens=sdk.UsageTokens(input_tokens=71, output_tokens=2),
    cached_tokens=32,
)
CITED: Final = sdk.Citation(
    start=0,
    end=2,
    text="hi",
    sources=[sdk.DocumentSource(id="d", document={"k": "v"})],
    content_index=0,
    type="TEXT_CONTENT",
)
CALL: Final = sdk.ToolCallV2(id="c", function=sdk.ToolCallV2Function(name="f", arguments="{}"))


def test_an_answer_of_the_sdk_is_read() -> None:
    message = sdk.AssistantMessageResponse(
        content=[
            sdk.ThinkingAssistantMessageResponseContentItem(thinking="hm"),
            sdk.TextAssistantMessageResponseContentItem(text="hi"),
        ],
        citations=[CITED],
    )
    logprobs = [sdk.LogprobItem(text="hi", token_ids=[1], logprobs=[-0.5])]
    made = sdk_v2.V2ChatResponse(
        id="i", finish_reason="COMPLETE", message=message, usage=BILLED, logprobs=logprobs
    )
    answer = cohere.decode(context({}), route("cohere"), reply_of(made))
    assert (answer.completion, answer.thinking, answer.finish_reason) == ("hi", "hm", "stop")
    assert answer.content == (Thinking("hm"), Text("hi"))
    assert answer.usage == Usage(5, 2)
    assert answer.request_id == "i"
    assert answer.logprobs == [{"text": "hi", "token_ids": [1], "logprobs": [-0.5]}]
    assert answer.metadata["cached_tokens"] == 32
    [citation] = typing.cast("list[dict[str, object]]", answer.metadata["citations"])
    assert citation["text"] == "hi"


def test_calls_of_the_sdk_are_read() -> None:
    message = sdk.AssistantMessageResponse(tool_plan="I will.", tool_calls=[CALL])
    made = sdk_v2.V2ChatResponse(id="i", finish_reason="TOOL_CALL", message=message, usage=BILLED)
    answer = cohere.decode(context({}), route("cohere"), reply_of(made))
    assert answer.tool_calls == (ToolCall("c", "f", "{}"),)
    assert answer.content == (Thinking("I will.", "tool_plan", "cohere"), ToolCall("c", "f", "{}"))
    assert (answer.completion, answer.finish_reason) == ("", "tool")


@pytest.mark.parametrize("finish", typing.get_args(typing.get_args(sdk.ChatFinishReason)[0]))
def test_every_finish_reason_of_the_sdk_is_known(finish: str) -> None:
    message = sdk.AssistantMessageResponse(
        content=[sdk.TextAssistantMessageResponseContentItem(text="hi")]
    )
    reply = reply_of(sdk_v2.V2ChatResponse(id="i", finish_reason=finish, message=message))
    if finish in {"ERROR", "TIMEOUT"}:
        with pytest.raises(Exception, match="broken off by the provider"):
            cohere.decode(context({}), route("cohere"), reply)
        return
    answer = cohere.decode(context({}), route("cohere"), reply)
    assert answer.finish_reason in {"stop", "length", "tool"}


def test_events_of_the_sdk_are_folded() -> None:
    """Each event that is written down is one that the SDK's types can hold, and is read."""
    event = TypeAdapter(sdk_v2.V2ChatStreamResponse)
    for case in cases("cohere_streams.json"):
        if "answer" not in case.values[0]:
            continue
        for _, data in case.values[0]["frames"]:
            if isinstance(data, dict) and "type" in data and not data["type"].startswith("new"):
                read = event.validate_python(data)
                assert type(read).model_fields["type"].default == data["type"]
