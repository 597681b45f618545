"""The body of a request to Claude, as hosts take it that put model and version elsewhere."""

from __future__ import annotations

import json

import pytest

from headrace.core.conversation import Conversation, Message
from headrace.core.errors import RejectedError, ReplyError
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall
from headrace.core.reply import Reply
from headrace.wire import anthropic, vertex_anthropic
from headrace.wire.draft import Unsupported
from tests.wire.golden import Case, context, route


def asked(case: Case, *, system_turns: bool = True) -> anthropic.Asked:
    prompt = context(case)
    way = route("anthropic", case)
    return anthropic.body(prompt, way, Unsupported(prompt.params), system_turns=system_turns)


def test_a_body_has_neither_model_nor_stream_nor_version() -> None:
    plain = {"max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}]}
    assert asked({}) == (plain, False, ())


@pytest.mark.parametrize(
    ("params", "samples"),
    [
        ({"max_tokens": 5}, False),
        ({"temperature": 0}, True),
        ({"extra_body": {"top_k": 3}}, True),
        # Left out beside thinking, so that the new version takes the rest.
        ({"temperature": 0, "thinking_budget": 2000}, False),
    ],
)
def test_it_says_whether_the_old_version_is_needed(params: Case, samples: bool) -> None:
    assert asked({"params": params}).samples is samples


def test_it_names_each_beta_once() -> None:
    file = {"type": "image", "source": {"type": "file", "file_id": "f"}}
    tool = {"vendor": "computer_use", "options": {"type": "computer_20251124", "name": "computer"}}
    found = asked({"prompt": [{"role": "user", "content": [file, file]}], "tools": [tool]})
    assert found.betas == ("files-api-2025-04-14", "computer-use-2025-11-24")


def test_a_host_without_system_turns_refuses_them() -> None:
    late = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]
    assert asked({"prompt": late}).body["messages"] == late
    with pytest.raises(RejectedError, match="this host of Claude knows no system message among"):
        asked({"prompt": late}, system_turns=False)
    first = list(reversed(late))
    assert "system" in asked({"prompt": first}, system_turns=False).body


def test_a_version_for_the_body_comes_by_extra_body() -> None:
    found = asked({"params": {"extra_body": {"anthropic_version": "mine"}}})
    assert found.body["anthropic_version"] == "mine"


@pytest.mark.parametrize("kind", ["hologram", "server_tool_use"])
def test_a_block_deeper_than_can_be_kept_is_unreadable(kind: str) -> None:
    block: object = {}
    for _ in range(300):
        block = [block]
    body = {"content": [{"type": kind, "x": block}], "stop_reason": "end_turn"}
    with pytest.raises(ReplyError):
        anthropic.decode(context({}), route("anthropic"), Reply(200, json.dumps(body).encode()))


def test_marks_of_other_lifetimes_become_those_that_there_are() -> None:
    marks = CacheBreakpoint("30m"), CacheBreakpoint("12h")
    talk = Conversation((Message.user("a", marks[0], Text("b"), marks[1]),))
    unsupported = Unsupported(None)
    found = anthropic.body(context({"prompt": talk}), route("anthropic"), unsupported)
    mark = {"type": "ephemeral", "ttl": "1h"}
    assert found.body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a", "cache_control": mark},
                {"type": "text", "text": "b", "cache_control": mark},
            ],
        }
    ]
    assert unsupported.told() == (
        "a cache mark of 30m is sent as 1h: Anthropic has 5m and 1h",
        "a cache mark of 12h is sent as 1h: Anthropic has 5m and 1h",
    )


def test_a_mark_with_nothing_before_it_and_an_empty_text_are_not_sent() -> None:
    talk = Conversation((Message.user([CacheBreakpoint(), Text(""), Text("a"), Text("b")]),))
    found = asked({"prompt": talk}).body["messages"]
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert found == [{"role": "user", "content": texts}]


def test_what_another_vendor_signed_or_kept_is_not_sent() -> None:
    parts = (
        Thinking("hm", "sig", "gemini"),
        Opaque.of("openai_responses", {"type": "reasoning"}),
        ToolCall("t", "f", "{}", "function", "a signature of Gemini's"),
        Text("b"),
    )
    talk = Conversation.of("a").add(Message.assistant(parts))
    turns = asked({"prompt": talk}).body["messages"]
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    assert turns == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [call, {"type": "text", "text": "b"}]},
    ]


@pytest.mark.parametrize(
    ("params", "version"),
    [
        ({}, "2026-10-21"),
        ({"temperature": 0}, "vertex-2023-10-16"),
        ({"extra_body": {"anthropic_version": "mine"}}, "mine"),
    ],
)
def test_on_vertex_the_model_is_in_the_path_and_the_version_in_the_body(
    params: Case, version: str
) -> None:
    case = {"params": params, "model": {"id": "vertex/claude-sonnet@20250929"}}
    draft = vertex_anthropic.encode(context(case), route("anthropic", case))
    body = json.loads(draft.body)
    assert draft.path == "/models/claude-sonnet@20250929:rawPredict"
    assert body["anthropic_version"] == version
    assert "model" not in body
    assert draft.headers == ()


def test_on_vertex_streams_have_a_path_and_betas_a_header() -> None:
    file = {"type": "image", "source": {"type": "file", "file_id": "f"}}
    case = {
        "prompt": [{"role": "user", "content": [file]}],
        "params": {"extra_headers": {"X-Mine": "1", "anthropic-beta": "b"}},
    }
    draft = vertex_anthropic.encode(context(case), route("anthropic"), stream=True)
    assert draft.path == "/models/m:streamRawPredict"
    assert json.loads(draft.body)["stream"] is True
    assert dict(draft.headers) == {"anthropic-beta": "files-api-2025-04-14,b", "x-mine": "1"}
