"""What goes to OpenAI Responses fits OpenAI's own published types, and what those write is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from pydantic import TypeAdapter

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.media import Image
from headrace.core.parts import CacheBreakpoint, Text, ToolResult
from headrace.core.reply import Reply
from headrace.wire import openai_responses
from tests.wire.golden import Case, cases, context, route

if TYPE_CHECKING:
    from headrace.core.response import APIResponse

# Its types alone take a second or two to be made.
pytestmark = [pytest.mark.once, pytest.mark.xdist_group("openai types")]
types: Final = pytest.importorskip("openai.types.responses", reason="openai is not installed")
params: Final = pytest.importorskip("openai.types.responses.response_create_params")

WIRE: Final = "openai_responses"
REQUESTS: Final = [c for c in cases(f"{WIRE}_requests.json") if "body" in c.values[0]]
FORM: Final = {
    False: TypeAdapter(params.ResponseCreateParamsNonStreaming),
    True: TypeAdapter(params.ResponseCreateParamsStreaming),
}
EVENT: Final = TypeAdapter(types.ResponseStreamEvent)


def check(body: dict[str, Any]) -> None:
    """``body`` is what the SDK would take, and has no field that the SDK does not know.

    Lists are read while they are written out again; a field that is not known is not.
    """
    form = FORM[body.get("stream", False)]
    taken = form.validate_python(body)
    assert json.loads(form.dump_json(taken, warnings=False)) == body


@pytest.mark.parametrize("case", REQUESTS)
def test_requests_fit_the_types(case: Case) -> None:
    asked, way = context(case), route(WIRE, case)
    check(json.loads(openai_responses.encode(asked, way, stream=case.get("stream", False)).body))


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"tools": [{"type": "function", "name": "f"}]},
        {"tool_choice": "f"},
        {"text": {"format": {"type": "json_schema"}}},
        {"stop": "x"},
    ],
)
def test_the_types_refuse_what_is_wrong(wrong: dict[str, Any]) -> None:
    body = json.loads(openai_responses.encode(context({}), route(WIRE)).body)
    check(body)
    with pytest.raises((ValueError, AssertionError)):
        check({**body, **wrong})


def message(text: str, **more: object) -> Any:  # noqa: ANN401 - a type of the SDK
    part = {"type": "output_text", "text": text, "annotations": [], **more}
    return types.ResponseOutputMessage.model_validate(
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "final_answer",
            "content": [part],
        }
    )


REASONING: Final = types.ResponseReasoningItem(
    type="reasoning",
    id="rs_1",
    summary=[{"type": "summary_text", "text": "so"}],
    encrypted_content="gAAA",
)
FUNCTION: Final = types.ResponseFunctionToolCall(
    type="function_call", id="fc_1", call_id="c1", name="f", arguments="{}", status="completed"
)
CUSTOM: Final = types.ResponseCustomToolCall(
    type="custom_tool_call", id="ctc_1", call_id="c2", name="sql", input="select"
)
COMPUTER: Final = types.ResponseComputerToolCall.model_validate(
    {
        "type": "computer_call",
        "id": "cu_1",
        "call_id": "c3",
        "status": "completed",
        "pending_safety_checks": [],
        "actions": [{"type": "click", "button": "left", "x": 1, "y": 2}, {"type": "screenshot"}],
    }
)
SEARCH: Final = types.ResponseFunctionWebSearch.model_validate(
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {
            "type": "search",
            "query": "q",
            "sources": [{"type": "url", "url": "https://h"}],
        },
    }
)
CODE: Final = types.ResponseCodeInterpreterToolCall.model_validate(
    {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "status": "completed",
        "container_id": "cntr_1",
        "code": "1",
        "outputs": [{"type": "logs", "logs": "1"}],
    }
)
FILES: Final = types.ResponseFileSearchToolCall.model_validate(
    {
        "type": "file_search_call",
        "id": "fs_1",
        "status": "completed",
        "queries": ["q"],
        "results": [{"file_id": "file_1", "score": 0.5, "text": "t"}],
    }
)


def response(*output: Any, **more: object) -> Any:  # noqa: ANN401 - a type of the SDK
    fields: dict[str, object] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m-2026",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "service_tier": "flex",
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 17,
        },
        "output": [item.model_dump(by_alias=True, exclude_none=True) for item in output],
    }
    return types.Response.model_validate({**fields, **more})


def decoded(answer: Any) -> APIResponse[object]:  # noqa: ANN401 - a type of the SDK
    reply = Reply(200, answer.model_dump_json(by_alias=True).encode())
    return openai_responses.decode(context({}), route(WIRE), reply)


def test_an_answer_of_every_kind_of_item_is_read() -> None:
    web = {"num_requests": 1}
    images = {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    }
    hosted = (SEARCH, CODE, FILES)
    said = message(
        "hi", logprobs=[{"token": "hi", "bytes": [1], "logprob": -1.0, "top_logprobs": []}]
    )
    answer = decoded(
        response(
            REASONING,
            *hosted,
            said,
            FUNCTION,
            CUSTOM,
            COMPUTER,
            tool_usage={"web_search": web, "image_gen": images},
        )
    )
    assert (answer.completion, answer.thinking, answer.finish_reason) == ("hi", "so", "tool")
    assert [(c.id, c.name, c.kind) for c in answer.tool_calls] == [
        ("c1", "f", "function"),
        ("c2", "sql", "custom"),
        ("c3", "computer", "computer_call"),
    ]
    calls: Any = answer.metadata["vendor_calls"]
    assert [call["type"] for call in calls] == [item.type for item in hosted]
    usage: Any = answer.metadata["tool_usage"]
    assert usage["web_search"] == web
    assert answer.metadata["service_tier"] == "flex"
    assert isinstance(answer.logprobs, list)
    assert answer.usage is not None
    assert answer.usage.total_tokens == 17


@pytest.mark.parametrize(
    ("items", "result"),
    [
        ((REASONING, message("hi")), None),
        ((REASONING, FUNCTION), ToolResult("c1", "42")),
        ((REASONING, FUNCTION), ToolResult("c1", (Text("t"), Image(file_id="file_1")))),
        ((CUSTOM,), ToolResult("c2", "42")),
        ((REASONING, COMPUTER), ToolResult("c3", (Image(url="https://h/i.png"),))),
        ((SEARCH, CODE, FILES, message("hi")), None),
    ],
)
def test_what_goes_back_fits_the_types(items: tuple[Any, ...], result: ToolResult | None) -> None:
    """As the API itself writes it: fields that are not set are left out."""
    whole = response(*items).model_dump_json(by_alias=True, exclude_unset=True).encode()
    answer = openai_responses.decode(context({}), route(WIRE), Reply(200, whole)).message
    assert answer is not None
    conversation = Conversation().user([Text("a"), CacheBreakpoint("30m"), Text("b")]).add(answer)
    conversation = conversation.user("c") if result is None else conversation.tool(result)
    draft = openai_responses.encode(RequestContext(prompt=conversation), route(WIRE))
    assert draft.adaptations == ()
    check(json.loads(draft.body))


@pytest.mark.parametrize(
    ("more", "finish"),
    [
        ({}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filtered"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_messages"}}, "other"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "other"),
    ],
)
def test_each_end_is_read(more: dict[str, object], finish: str) -> None:
    assert decoded(response(message("hi"), **more)).finish_reason == finish


@pytest.mark.parametrize("case", cases(f"{WIRE}_streams.json"))
def test_the_streams_of_our_tests_are_such_as_the_sdk_reads(case: Case) -> None:
    """Where a frame says which event it is; what it leaves out does not matter to us."""
    known = {
        model.model_fields["type"].annotation.__args__[0]
        for model in types.ResponseStreamEvent.__origin__.__args__
    }
    for event, data in case["frames"]:
        if event.startswith("response.") and event != "response.brand_new":
            assert data.get("type", event) in known


def test_a_stream_of_the_sdks_own_events_is_folded() -> None:
    def event(kind: str, **fields: object) -> bytes:
        told = EVENT.validate_python({"type": kind, "sequence_number": 0, **fields})
        assert told.type == kind
        return bytes(told.model_dump_json(by_alias=True).encode())

    here: dict[str, object] = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    fold = openai_responses.fold(context({}), route(WIRE))
    item = message("hi").model_dump()
    chunks = [
        chunk
        for data in (
            event("response.output_item.added", output_index=0, item={**item, "content": []}),
            event("response.output_text.delta", **here, delta="h", logprobs=[]),
            event("response.output_text.delta", **here, delta="i", logprobs=[]),
            event("response.output_text.done", **here, text="hi", logprobs=[]),
            event("response.output_item.done", output_index=0, item=item),
            event("response.completed", response=response(message("hi")).model_dump()),
        )
        for chunk in fold.feed("", data)
    ]
    answer = openai_responses.decode(context({}), route(WIRE), fold.reply())
    assert answer.completion == "hi"
    assert [getattr(chunk, "text", None) for chunk in chunks] == ["h", "i", None]
