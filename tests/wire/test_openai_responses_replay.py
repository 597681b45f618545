"""What an answer of OpenAI Responses holds goes back word for word, in its order."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation, Message
from headrace.core.errors import RejectedError
from headrace.core.media import File, Image
from headrace.core.parts import CacheBreakpoint, Opaque, Part, Text, ToolCall, ToolResult
from headrace.core.reply import Reply
from headrace.wire import openai_responses, record
from tests.wire.golden import route

WIRE: Final = "openai_responses"
ASKED: Final = Conversation().user("a")
REASONING: Final = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
CALL: Final = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
CUSTOM: Final = {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "select"}
SEARCH: Final = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}
COMPUTER: Final = {
    "type": "computer_call",
    "id": "cu_1",
    "call_id": "c3",
    "status": "completed",
    "pending_safety_checks": [],
    "actions": [{"type": "screenshot"}],
}
COMMENTARY: Final = {
    "type": "message",
    "role": "assistant",
    "content": "let me see",
    "phase": "commentary",
}
ANSWER: Final = {
    "type": "message",
    "role": "assistant",
    "content": "hi",
    "phase": "final_answer",
}
SCREEN: Final = Image(data=b"\x89PNG\r\n\x1a\n", media_type="image/png")


def as_output(item: dict[str, Any]) -> dict[str, Any]:
    """An input item as it stands in an output."""
    if item["type"] != "message":
        return {"id": "item_1", "status": "completed", **item}
    content = [{"type": "output_text", "text": item["content"], "annotations": []}]
    return {**item, "id": "msg_1", "status": "completed", "content": content}


def answered(*items: dict[str, Any]) -> Message:
    """The message of an answer with these items, after it has been in a cache."""
    body = {"status": "completed", "output": [as_output(item) for item in items]}
    reply = Reply(200, json.dumps(body).encode())
    decoded = openai_responses.decode(RequestContext(prompt="a"), route(WIRE), reply)
    message = record.load(record.dump(decoded)).message
    assert message is not None
    assert message == decoded.message
    return message


def sent(conversation: Conversation) -> dict[str, Any]:
    draft = openai_responses.encode(RequestContext(prompt=conversation), route(WIRE))
    assert draft.adaptations == ()
    body: dict[str, Any] = json.loads(draft.body)
    return body


@pytest.mark.parametrize(
    "items",
    [
        (REASONING, CALL),
        (REASONING, CALL, {**REASONING, "id": "rs_2"}, CUSTOM),
        (REASONING, COMPUTER),
        (REASONING, SEARCH, ANSWER),
        (COMMENTARY, CALL),
        (COMMENTARY, ANSWER),
        (ANSWER, {**ANSWER, "content": "ho"}),
        ({**CALL, "namespace": "crm"},),
        ({**COMPUTER, "pending_safety_checks": [{"id": "sc_1", "code": "c", "message": "m"}]},),
        ({"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}, ANSWER),
    ],
)
def test_an_answer_goes_back_as_it_came(items: tuple[dict[str, Any], ...]) -> None:
    body = sent(ASKED.add(answered(*items)).user("b"))
    own = [{"status": "completed", "id": "item_1"} | item for item in items]
    kept = {"function_call", "custom_tool_call", "message"}
    expected = [
        item if item["type"] in kept else whole for item, whole in zip(items, own, strict=True)
    ]
    assert body["input"][1:-1] == expected


def test_reasoning_that_goes_back_is_asked_for_again() -> None:
    assert sent(ASKED.add(answered(REASONING, CALL)))["include"] == ["reasoning.encrypted_content"]
    assert "include" not in sent(ASKED.add(answered(CALL)))


@pytest.mark.parametrize(
    ("item", "output"),
    [
        (CALL, {"type": "function_call_output", "output": "42"}),
        (CUSTOM, {"type": "custom_tool_call_output", "output": "42"}),
    ],
)
def test_results_answer_their_calls(item: dict[str, Any], output: dict[str, Any]) -> None:
    conversation = ASKED.add(answered(item)).tool(ToolResult(item["call_id"], "42"))
    assert sent(conversation)["input"][-1] == {"call_id": item["call_id"], **output}


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        (SCREEN, {"image_url": SCREEN.data_uri}),
        (Image(file_id="file_1"), {"file_id": "file_1"}),
    ],
)
def test_a_computer_call_is_answered_by_a_screenshot(image: Image, shown: dict[str, str]) -> None:
    conversation = ASKED.add(answered(COMPUTER)).tool(ToolResult("c3", (image,)))
    assert sent(conversation)["input"][-1] == {
        "type": "computer_call_output",
        "call_id": "c3",
        "output": {"type": "computer_screenshot", **shown},
    }


def test_beside_a_screenshot_nothing_goes() -> None:
    result = ToolResult("c3", (Text("done"), Image(file_id="old"), Image(file_id="new")))
    conversation = ASKED.add(answered(COMPUTER)).tool(result)
    draft = openai_responses.encode(RequestContext(prompt=conversation), route(WIRE))
    assert json.loads(draft.body)["input"][-1]["output"]["file_id"] == "new"
    [sentence] = draft.adaptations
    assert "the last image is sent and the rest is left out" in sentence


@pytest.mark.parametrize("content", ["done", (Text("done"), File(file_id="file_1"))])
def test_a_computer_call_without_a_screenshot_is_refused(content: str | tuple[Any, ...]) -> None:
    conversation = ASKED.add(answered(COMPUTER)).tool(ToolResult("c3", content))
    with pytest.raises(RejectedError, match="needs a screenshot, an Image; add one"):
        sent(conversation)


def test_a_computer_call_of_ones_own() -> None:
    call = ToolCall("c3", "computer", '{"type":"wait"}', "computer_call")
    item = {**COMPUTER, "id": "c3", "action": {"type": "wait"}}
    del item["actions"]
    assert sent(ASKED.add(Message.assistant([call])))["input"][-1] == item
    with pytest.raises(RejectedError, match="no JSON"):
        sent(ASKED.add(Message.assistant([ToolCall("c3", "computer", "{", "computer_call")])))


def test_signatures_of_other_apis_mean_nothing() -> None:
    call = ToolCall("c1", "f", "{}", signature="R2VtaW5p")
    assert sent(ASKED.add(Message.assistant([call])))["input"][-1] == CALL


@pytest.mark.parametrize(
    ("ttl", "mark"), [("30m", True), ("12h", True), ("5m", False), ("1h", False), (None, False)]
)
def test_marks_with_a_time_of_openai_are_sent(ttl: Any, mark: bool) -> None:  # noqa: ANN401 - one of the literals
    content: list[Part] = [Text("a"), CacheBreakpoint(ttl), Text("b")]
    [item] = sent(Conversation().user(content))["input"]
    expected = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": ttl}} if mark else {}
    assert item["content"][0] == {"type": "input_text", "text": "a", **expected}
    assert item["content"][1] == {"type": "input_text", "text": "b"}


def test_marks_where_nothing_stands_change_nothing() -> None:
    content: list[Part] = [Text("b"), CacheBreakpoint("30m"), Text("c")]
    said = ASKED.add(Message.assistant(content)).user([CacheBreakpoint("30m"), Text("d")])
    assert [item["content"] for item in sent(said)["input"]] == [
        "a",
        "bc",
        [{"type": "input_text", "text": "d"}],
    ]


def test_what_the_user_acknowledges_is_sent_as_it_is() -> None:
    """Safety checks are acknowledged by a person, never by themselves."""
    output = {
        "type": "computer_call_output",
        "call_id": "c3",
        "output": {"type": "computer_screenshot", "file_id": "file_1"},
        "acknowledged_safety_checks": [{"id": "sc_1"}],
    }
    turn = Message.user([Text("now"), Opaque.of(WIRE, output), Text("go on")])
    body = sent(ASKED.add(answered(COMPUTER), turn))
    assert body["input"][-3]["content"] == [{"type": "input_text", "text": "now"}]
    assert body["input"][-2] == output
    assert body["input"][-1]["content"] == [{"type": "input_text", "text": "go on"}]


def test_an_item_that_json_cannot_write_again_is_no_hindrance() -> None:
    """It may be nested deeper than what is written."""
    deep = '{"type":"brand_new","a":' + "[" * 300 + "]" * 300 + "}"
    call = '{"type":"function_call","name":"f","arguments":"","namespace":' + "[" * 300 + "1"
    said = '{"type":"message","content":[{"text":"hi"}]}'
    asked, way = RequestContext(prompt="a"), route(WIRE)
    body = f'{{"output":[{deep},{said}]}}'.encode()
    assert openai_responses.decode(asked, way, Reply(200, body)).message == Message.assistant("hi")
    body = f'{{"output":[{call}{"]" * 300}}}]}}'.encode()
    with pytest.raises(Exception, match="a tool call in it"):
        openai_responses.decode(asked, way, Reply(200, body))
