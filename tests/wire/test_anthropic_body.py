"""The body of a request to Claude, as hosts take it that put model and version elsewhere."""

from __future__ import annotations

import json

import pytest

from headrace.core.errors import RejectedError, ReplyError
from headrace.core.reply import Reply
from headrace.wire import anthropic
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
