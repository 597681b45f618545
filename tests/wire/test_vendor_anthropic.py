"""What we send fits the types that Anthropic's own SDK publishes, and what its models hold we read.

Importing those types takes about four seconds, so this runs on one interpreter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, get_args

import pytest
from anthropic import types
from anthropic.types.beta import message_create_params as of_beta
from pydantic import BaseModel, TypeAdapter, ValidationError

from headrace.core.chunks import TextChunk
from headrace.core.conversation import Conversation
from headrace.core.media import File, Image
from headrace.core.parts import Opaque, Text, Thinking, ToolCall, ToolResult
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage
from headrace.wire import anthropic
from tests.wire.golden import Case, cases, context, route

pytestmark = pytest.mark.once
Body: TypeAlias = dict[str, Any]
SENT: Final = [case for case in cases("anthropic_requests.json") if "body" in case.values[0]]
ASKED: Final[TypeAdapter[Any]] = TypeAdapter(types.MessageCreateParams)
ASKED_OF_BETA: Final[TypeAdapter[Any]] = TypeAdapter(of_beta.MessageCreateParams)
EVENT: Final[TypeAdapter[Any]] = TypeAdapter(types.RawMessageStreamEvent)
# The old version's parameters: the SDK has no names for them any more.
OLD: Final = frozenset({"temperature", "top_p", "top_k"})


def read(value: object) -> object:
    """``value`` with what pydantic left to be read later."""
    if isinstance(value, BaseModel):  # a block of an answer, sent back
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: read(inner) for name, inner in value.items()}
    if isinstance(value, Iterator | list | tuple):
        return [read(item) for item in value]
    return value


def check(body: Body, *, beta: bool = False) -> None:
    """Raise where the SDK's types refuse ``body``, or lose a field that they do not know."""
    known = {name: value for name, value in body.items() if name not in OLD}
    adapter = ASKED_OF_BETA if beta else ASKED
    assert read(adapter.validate_python(known)) == known


def test_a_wrong_body_would_be_noticed() -> None:
    right: Body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    check(right)
    text = {"type": "text", "text": "hi", "odd": 1}
    with pytest.raises(AssertionError):
        check({**right, "messages": [{"role": "user", "content": [text]}]})
    with pytest.raises(AssertionError):
        check({**right, "odd": 1})
    with pytest.raises((AssertionError, ValidationError)):
        check({**right, "thinking": {"type": "enabled"}})


@pytest.mark.parametrize("case", SENT)
def test_requests_are_of_the_published_types(case: Case) -> None:
    draft = anthropic.encode(context(case), route("anthropic", case), stream="stream" in case)
    check(json.loads(draft.body), beta="beta" in case["case"])


TEXT: Final = types.TextBlock(type="text", text="hi")
SEARCH: Final = types.ServerToolUseBlock(
    type="server_tool_use", id="s1", name="web_search", input={"query": "q"}
)
FOUND: Final = types.WebSearchToolResultBlock(
    type="web_search_tool_result",
    tool_use_id="s1",
    content=[
        types.WebSearchResultBlock(
            type="web_search_result", url="https://host.example", title="t", encrypted_content="e"
        )
    ],
)
RAN: Final = types.BashCodeExecutionToolResultBlock(
    type="bash_code_execution_tool_result",
    tool_use_id="s2",
    content=types.BashCodeExecutionResultBlock(
        type="bash_code_execution_result", content=[], return_code=0, stderr="", stdout="1"
    ),
)
CITED: Final = types.TextBlock(
    type="text",
    text="hi",
    citations=[
        types.CitationPageLocation(
            type="page_location",
            cited_text="c",
            document_index=0,
            start_page_number=1,
            end_page_number=2,
        )
    ],
)
BLOCKS: Final[dict[str, list[Any]]] = {
    "text": [TEXT],
    "thinking": [
        types.ThinkingBlock(type="thinking", thinking="hm", signature="s"),
        types.RedactedThinkingBlock(type="redacted_thinking", data="x"),
        TEXT,
    ],
    "calls": [
        types.ToolUseBlock(type="tool_use", id="t1", name="f", input={"a": 1}),
        types.ToolUseBlock(
            type="tool_use", id="t2", name="screenshot", input={}, toolset_name="computer"
        ),
        types.ToolUseBlock(
            type="tool_use",
            id="t3",
            name="g",
            input={},
            caller=types.ServerToolCaller20260120(type="code_execution_20260120", tool_id="s2"),
        ),
    ],
    "server tools": [
        SEARCH,
        FOUND,
        types.ServerToolUseBlock(
            type="server_tool_use", id="s2", name="bash_code_execution", input={"command": "ls"}
        ),
        RAN,
        types.ContainerUploadBlock(type="container_upload", file_id="f1"),
        CITED,
    ],
}


def message(blocks: list[Any], **more: Any) -> Body:
    said = types.Message(
        id="msg_1",
        type="message",
        role="assistant",
        model="m-2026",
        content=blocks,
        usage=types.Usage(
            input_tokens=3,
            output_tokens=7,
            cache_read_input_tokens=2,
            cache_creation=types.CacheCreation(
                ephemeral_1h_input_tokens=0, ephemeral_5m_input_tokens=1
            ),
            cache_creation_input_tokens=1,
            output_tokens_details=types.OutputTokensDetails(thinking_tokens=4),
            server_tool_use=types.ServerToolUsage(web_fetch_requests=0, web_search_requests=1),
            service_tier="standard",
        ),
        **{"stop_reason": "end_turn", **more},
    )
    dumped: Body = said.model_dump(mode="json")
    return dumped


def decoded(body: Body) -> APIResponse[object]:
    reply = Reply(200, json.dumps(body).encode())
    return anthropic.decode(context({}), route("anthropic"), reply)


@pytest.mark.parametrize("name", BLOCKS)
def test_what_the_models_of_the_sdk_hold_is_read(name: str) -> None:
    answer = decoded(message(BLOCKS[name]))
    assert answer.usage == Usage(3, 7, 2, 1, 4)
    assert answer.request_id == "msg_1"
    kinds = [type(part) for part in answer.content]
    match name:
        case "text":
            assert (answer.completion, kinds) == ("hi", [])
        case "thinking":
            assert (answer.thinking, kinds) == ("hm", [Thinking, Opaque, Text])
        case "calls":
            assert [(call.name, call.kind) for call in answer.tool_calls] == [
                ("f", "function"),
                ("screenshot", "computer"),
                ("g", "function"),
            ]
        case _:
            calls = answer.metadata["vendor_calls"]
            assert isinstance(calls, list)
            assert [call["name"] for call in calls] == ["web_search", "bash_code_execution"]
            assert calls[0]["result"] == FOUND.model_dump(mode="json")["content"]
            assert answer.metadata["server_tool_use"] == {
                "web_fetch_requests": 0,
                "web_search_requests": 1,
            }
            assert answer.metadata["citations"] == CITED.model_dump(mode="json")["citations"]


@pytest.mark.parametrize("name", BLOCKS)
def test_an_answer_is_sent_back_as_it_came(name: str) -> None:
    """Block by block, and as the SDK's own types want it."""
    answer = decoded(message(BLOCKS[name]))
    assert answer.message is not None
    talk = Conversation.of("a").add(answer.message)
    if answer.tool_calls:
        png = Image(data=b"\x89PNG\r\n\x1a\n", media_type="image/png")
        pdf = File(file_id="f1")
        talk = talk.tool(*(ToolResult(call.id, (png, pdf)) for call in answer.tool_calls))
    draft = anthropic.encode(context({"prompt": talk}), route("anthropic"))
    body = json.loads(draft.body)
    check(body)
    sent = body["messages"][1]["content"]
    if name == "text":
        assert sent == "hi"
        return
    came = [block.model_dump(mode="json") for block in BLOCKS[name]]
    for block, original in zip(sent, came, strict=True):
        assert block == {
            field: original[field]
            for field in original
            # Citations are for readers; what the API left empty may be left out.
            if field in block or (field != "citations" and original[field] is not None)
        }


def test_a_stream_of_the_models_of_the_sdk_is_read() -> None:
    whole = message([])
    start = {**whole, "stop_reason": None}
    frames: list[Body] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": TEXT.model_dump(mode="json")},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": " there"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
        },
        {"type": "message_stop"},
    ]
    fold, chunks = anthropic.fold(context({}), route("anthropic")), []
    for frame in frames:
        event = EVENT.validate_python(frame).model_dump(mode="json")
        chunks += fold.feed(event["type"], json.dumps(event).encode())
    assert [chunk.text for chunk in chunks if isinstance(chunk, TextChunk)] == ["hi", " there"]
    answer = anthropic.decode(context({}), route("anthropic"), fold.reply())
    assert answer.completion == "hi there"
    assert answer.usage == Usage(3, 9, 2, 1, 4)


def test_every_reason_to_stop_is_known() -> None:
    for reason in get_args(types.StopReason):
        if reason == "refusal":
            continue
        finish = decoded(message([TEXT], stop_reason=reason)).finish_reason
        assert finish == "other" if reason == "pause_turn" else finish in {"stop", "length"}


def test_tool_calls_keep_who_called() -> None:
    call = decoded(message(BLOCKS["calls"])).tool_calls[2]
    caller = {"type": "code_execution_20260120", "tool_id": "s2"}
    assert isinstance(call, ToolCall)
    assert json.loads(call.signature or "") == caller
