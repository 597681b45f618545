"""Tool calls, results, thinking and marks in a conversation, however they are written."""

from __future__ import annotations

import pytest

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation, Message
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.media import File, Image
from headrace.core.parts import (
    CacheBreakpoint,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    canonical_content,
)
from headrace.core.schema import OutputSchema
from headrace.core.tools import Tool, VendorTool

CALL = ToolCall("c1", "weather", '{"city":"Oslo"}')


def built() -> Conversation:
    return (
        Conversation()
        .user("Will it rain?")
        .assistant("Let me see.", CALL)
        .tool(ToolResult("c1", "rain"))
    )


def test_openais_and_anthropics_dicts_say_the_same_as_the_builder() -> None:
    openai = Conversation.of(
        [
            {"role": "user", "content": "Will it rain?"},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        ]
    )
    anthropic = Conversation.of(
        [
            {"role": "user", "content": "Will it rain?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me see."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "rain"}],
            },
        ]
    )
    assert openai == anthropic == Conversation.of(built())
    assert openai.fingerprint == built().fingerprint


def test_a_turn_of_calls_needs_no_text() -> None:
    message = Message.from_dict(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}],
        }
    )
    assert message.parts == (ToolCall("c1", "f", '{"a":1}'),)
    assert Message.assistant("", CALL).parts == (CALL,)


def test_a_result_may_be_an_error_or_hold_several_parts() -> None:
    read = Message.from_dict(
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c1",
                    "is_error": True,
                    "content": [{"type": "text", "text": "no"}, {"type": "text", "text": " way"}],
                },
                {"type": "text", "text": "go on"},
            ],
        }
    )
    result, said = read.parts
    assert read.role == "tool"
    assert isinstance(result, ToolResult)
    assert (result.text, result.is_error, said) == ("no way", True, Text("go on"))


def test_thinking_and_what_only_one_api_knows_are_kept_for_it() -> None:
    read = Message.from_dict(
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "text", "text": "Yes."},
            ],
        }
    )
    thinking, kept, said = read.parts
    assert thinking == Thinking("hm", "sig", "anthropic")
    assert isinstance(kept, Opaque)
    assert kept.block == {"type": "redacted_thinking", "data": "xyz"}
    assert read.text == "Yes."
    assert said == Text("Yes.")
    deep = Message.from_dict({"role": "assistant", "content": "a", "reasoning_content": "hm"})
    assert deep.parts == (Thinking("hm"), Text("a"))


def test_a_cache_mark_changes_no_key() -> None:
    plain = Conversation.of("a long text")
    marked = plain.cached()
    assert marked.messages[0].parts == (Text("a long text"), CacheBreakpoint())
    assert marked.fingerprint == plain.fingerprint
    read = Message.from_dict(
        {
            "role": "system",
            "content": [
                {"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ],
        }
    )
    assert read.parts == (Text("s"), CacheBreakpoint("1h"))


def test_a_result_without_its_call_is_that_prompts_error() -> None:
    alone = Conversation().user("hi").tool(ToolResult("c9", "rain"))
    with pytest.raises(BadRowError, match="'c9' answers no call"):
        Conversation.of(alone)


def test_what_a_model_may_call_and_how_it_shall_answer_are_in_the_key() -> None:
    tool = Tool("weather", "The weather.", '{"type":"object"}')
    shape = OutputSchema("answer", '{"type":"object"}', str)
    asked = [
        RequestContext(prompt="hi"),
        RequestContext(prompt="hi", tools=(tool,)),
        RequestContext(prompt="hi", tools=(Tool("weather", "Another."),)),
        RequestContext(prompt="hi", tools=(VendorTool("web_search"),)),
        RequestContext(prompt="hi", output_schema=shape),
        RequestContext(prompt="hi", tools=(tool,), output_schema=shape),
    ]
    assert len({context.cache_key for context in asked}) == len(asked)
    assert len({hash(context.identity) for context in asked}) == len(asked)
    same = RequestContext(
        prompt="hi", tools=(Tool("weather", "The weather.", '{"type":"object"}'),)
    )
    assert same.cache_key == asked[1].cache_key


def test_bad_tools_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match="1 to 64 letters"):
        Tool("get weather")
    with pytest.raises(BadRowError, match="a Tool or a dict, not str"):
        RequestContext(prompt="hi", tools=("weather",))  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(BadRowError, match="must be a type or a JSON schema"):
        RequestContext(prompt="hi", output_schema=5)  # type: ignore[arg-type]  # wrong on purpose


def test_what_costs_or_refuses_differently_is_in_no_key() -> None:
    plain = RequestContext(prompt="hi").cache_key
    for extra in (
        {"on_unsupported": "error"},
        {"prompt_caching": "automatic"},
        {"service_tier": "flex"},
    ):
        assert RequestContext(prompt="hi", params=extra).cache_key == plain  # type: ignore[arg-type]  # a dict becomes parameters
    other = RequestContext(prompt="hi", params={"thinking_budget": 1})  # type: ignore[arg-type]  # a dict becomes parameters
    assert other.cache_key != plain


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "Host"])
def test_extra_headers_replace_no_credentials(name: str) -> None:
    with pytest.raises(BadRowError, match="extra_headers: it cannot replace"):
        RequestContext(prompt="hi", params={"extra_headers": {name: "x"}})  # type: ignore[arg-type]  # a dict becomes parameters


def test_blanks_in_the_arguments_of_a_call_are_no_other_question() -> None:
    def key(arguments: str) -> str:
        said = Conversation().user("a").assistant(ToolCall("c1", "f", arguments))
        return RequestContext(prompt=said.tool(ToolResult("c1", "b"))).cache_key

    assert key('{"n": 1,  "big": 18446744073709551617}') == key(
        '{"n":1,"big":18446744073709551617}'
    )
    assert key('{"n":18446744073709551617}') != key('{"n":18446744073709551618}')
    assert key('{"n":') != key('{"n": ')  # as it was written, where it is no JSON


def test_one_part_needs_no_list() -> None:
    image = Image.from_url("https://example.com/a.png")
    assert Message.user(image) == Message.user([image])
    assert Conversation().assistant(CALL) == Conversation().assistant([CALL])
    assert ToolResult("c1", ["rain", image]) == ToolResult("c1", [Text("rain"), image])  # type: ignore[arg-type]  # read all the same


def test_marks_are_read_wherever_the_two_dialects_put_them() -> None:
    call = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    breakpoint_ = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"ttl": "12h"}}
    rows: list[dict[str, object]] = [
        {"role": "user", "content": [breakpoint_]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [marked]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [marked, marked]}],
        },
    ]
    user, _, tool, result = Conversation.of(rows).messages
    assert user.parts == (Text("a"), CacheBreakpoint("12h"))
    assert tool.parts == (ToolResult("c1", (Text("a"),)), CacheBreakpoint("1h"))
    assert result.parts == (ToolResult("c1", (Text("a"), Text("a"))), CacheBreakpoint("1h"))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "search_result", "content": [object()]},
        {"type": "server_tool_use", "id": "\ud800"},
        {"type": "tool_use", "id": "c", "name": "f", "caller": {"type": "x", "id": object()}},
    ],
)
def test_a_block_that_has_no_json_form_is_that_prompts_error(part: dict[str, object]) -> None:
    with pytest.raises(BadRowError, match="written as JSON"):
        Conversation.of([{"role": "assistant", "content": [part]}])


def test_details_of_reasoning_that_have_no_json_form_are_that_prompts_error() -> None:
    with pytest.raises(BadRowError, match="written as JSON"):
        Conversation.of([{"role": "assistant", "content": "a", "reasoning_details": [object()]}])


def test_what_only_anthropic_does_with_a_document_is_kept_for_it() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "a"}
    document = {"type": "document", "source": source, "citations": {"enabled": True}}
    content = {"type": "document", "source": {"type": "content", "content": "a"}}
    (message,) = Conversation.of([{"role": "user", "content": [document, content]}]).messages
    assert message.parts == (Opaque.of("anthropic", document), Opaque.of("anthropic", content))


def test_an_image_by_id_keeps_its_detail() -> None:
    part = {"type": "input_image", "file_id": "f", "detail": "low"}
    (message,) = Conversation.of([{"role": "user", "content": [part]}]).messages
    assert message.parts == (Image(file_id="f", detail="low"),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Thinking("a"), Thinking("a", None, "gemini")),
        (ToolResult("c1", "a", "f"), ToolResult("c1", "a", "g")),
        (File(url="https://a/b", media_type="text/plain"), File(url="https://a/b")),
        (File(file_id="a", name="n"), File(file_id="a", media_type="n")),
    ],
)
def test_parts_that_are_sent_differently_have_other_keys(one: Part, other: Part) -> None:
    assert canonical_content((one, one)) != canonical_content((other, other))


def test_marking_a_turn_of_results_leaves_what_stands_beside_them() -> None:
    source = {"type": "search_result", "source": "a", "title": "b", "content": []}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "a"}
    turn = Message.from_dict({"role": "user", "content": [result, source]})
    assert Conversation((turn,)).cached().messages[0].parts == (*turn.parts, CacheBreakpoint())
