"""Tool calls, results, thinking and marks in a conversation, however they are written."""

from __future__ import annotations

import pytest

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation, Message
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall, ToolResult
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
