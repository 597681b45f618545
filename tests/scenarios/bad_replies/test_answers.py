"""Groups 11-18: JSON of the right form that lacks what an answer has, or says it oddly."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest

from headrace import LLMClient, Usage
from headrace.testing import FakeServer
from tests.scenarios.bad_replies.meeting import (
    ANTHROPIC,
    BOTH,
    OPENAI,
    Dialect,
    Row,
    address,
    each,
    meet,
    row,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

MISSING: Final = "left out"


def _merged(base: dict[str, Any], changes: dict[str, object]) -> bytes:
    data = {**base, **changes}
    return orjson.dumps({name: value for name, value in data.items() if value is not MISSING})


def top(**changes: object) -> bytes:
    """An OpenAI body with other fields at the top."""
    return _merged(OPENAI, changes)


def choice(**changes: object) -> bytes:
    """An OpenAI body with another choice."""
    data = copy.deepcopy(OPENAI)
    data["choices"][0].update(changes)
    [only] = data["choices"]
    data["choices"] = [{name: value for name, value in only.items() if value is not MISSING}]
    return orjson.dumps(data)


def message(**changes: object) -> bytes:
    """An OpenAI body with another message."""
    return choice(message={"role": "assistant", "content": "fine", **changes})


def claude(**changes: object) -> bytes:
    """An Anthropic body with other fields."""
    return _merged(ANTHROPIC, changes)


NO_USAGE: Final[tuple[object, ...]] = (MISSING, None, [], "many", {}, {"prompt_tokens": 2**60})
MADE: Final[tuple[tuple[Dialect, Callable[..., bytes]], ...]] = (
    ("openai", top),
    ("anthropic", claude),
)


def tools(*calls: dict[str, object]) -> bytes:
    """An OpenAI body that calls tools."""
    data = copy.deepcopy(OPENAI)
    asked = [{"id": "call_1", "type": "function", "function": call} for call in calls]
    data["choices"][0].update(
        message={"role": "assistant", "content": None, "tool_calls": asked},
        finish_reason="tool_calls",
    )
    return orjson.dumps(data)


TABLE: Final = [
    # 11, 12
    row("11 no choices", top(choices=[]), "unreadable_reply", "openai"),
    row("11 null choices", top(choices=None), "unreadable_reply", "openai"),
    row("11 missing choices", top(choices=MISSING), "unreadable_reply", "openai"),
    row("11 choices of null", top(choices=[None]), "unreadable_reply", "openai"),
    row("11 no message", choice(message=None), "unreadable_reply", "openai"),
    row("11 null content", claude(content=None), "unreadable_reply", "anthropic"),
    row("11 missing content", claude(content=MISSING), "unreadable_reply", "anthropic"),
    row(
        "11 no content, no reason",
        claude(content=[], stop_reason=None),
        "unreadable_reply",
        "anthropic",
    ),
    row("11 content of null", claude(content=[None]), "unreadable_reply", "anthropic"),
    row("12 null content", message(content=None), "unreadable_reply", "openai"),
    row("12 a number as content", message(content=7), "unreadable_reply", "openai"),
    row(
        "12 parts",
        message(content=[{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]),
        "answer",
        "openai",
        completion="fine",
    ),
    row("12 refusal", message(content=None, refusal="I will not"), "filtered", "openai"),
    row("12 refusal", claude(content=[], stop_reason="refusal"), "filtered", "anthropic"),
    # 13
    *[
        row(f"13 finish {raw!r}", choice(finish_reason=raw), "answer", "openai", finish_reason=kept)
        for raw, kept in (("odd", "other"), (None, None), (MISSING, None), ("length", "length"))
    ],
    *[
        row(
            f"13 finish {raw!r}", claude(stop_reason=raw), "answer", "anthropic", finish_reason=kept
        )
        for raw, kept in (("odd", "other"), (None, None), (MISSING, None), ("max_tokens", "length"))
    ],
    row(
        "13 filtered with text",
        choice(finish_reason="content_filter"),
        "answer",
        "openai",
        completion="fine",
        finish_reason="filtered",
    ),
    row(
        "13 filtered without",
        choice(finish_reason="content_filter", message={"content": None}),
        "filtered",
        "openai",
    ),
    row("13 broken off", choice(finish_reason="error"), "overloaded", "openai"),
    # 14
    row(
        "14 arguments that are no JSON", tools({"name": "f", "arguments": "{"}), "answer", "openai"
    ),
    row("14 arguments that are a list", tools({"name": "f", "arguments": [1]}), "answer", "openai"),
    row(
        "14 two calls of one id",
        tools({"name": "f", "arguments": "{}"}, {"name": "g", "arguments": "{}"}),
        "answer",
        "openai",
        finish_reason="tool",
    ),
    row("14 a call of nothing", tools({"arguments": "{}"}), "unreadable_reply", "openai"),
    row(
        "14 an input that is text",
        claude(content=[{"type": "tool_use", "id": "t", "name": "f", "input": "{"}]),
        "answer",
        "anthropic",
    ),
    row(
        "14 a call of nothing",
        claude(content=[{"type": "tool_use"}]),
        "unreadable_reply",
        "anthropic",
    ),
    # 15, 16, 17, 18
    *[
        row(f"15 usage {value!r}", make(usage=value), "answer", d, completion="fine", usage=None)
        for d, make in MADE
        for value in NO_USAGE
    ],
    row(
        "15 usage of nothing",
        top(usage={"prompt_tokens": 0, "completion_tokens": 0}),
        "answer",
        "openai",
        usage=Usage(),
    ),
    row("16 another model", top(model="other-1"), "answer", "openai", model="other-1"),
    row("16 another model", claude(model="other-1"), "answer", "anthropic", model="other-1"),
    row("16 no model", top(model=None), "answer", "openai", model="m"),
    row(
        "17 two choices",
        top(choices=[{"index": n, "message": {"content": str(n)}} for n in (1, 0)]),
        "answer",
        "openai",
        completion="0",
    ),
    row(
        "18 reasoning alone",
        message(content=None, reasoning_content="hm"),
        "answer",
        "openai",
        completion="",
        thinking="hm",
    ),
    row("18 empty text", message(content=""), "answer", "openai", completion=""),
    row(
        "18 thinking alone",
        claude(content=[{"type": "thinking", "thinking": "hm"}]),
        "answer",
        "anthropic",
        completion="",
        thinking="hm",
    ),
    row("18 nothing, and a reason", claude(content=[]), "answer", "anthropic", completion=""),
]


@each(TABLE)
def test_an_odd_answer(row: Row, dialect: Dialect) -> None:
    meet(row, dialect)


@pytest.mark.parametrize("dialect", BOTH)
def test_odd_answers_survive_the_journal(dialect: Dialect, tmp_path: Path) -> None:
    odd = [row.fault for row in TABLE if row.outcome == "answer" and dialect in row.dialects]
    prompts = [str(place) for place in range(len(odd))]
    with FakeServer.in_thread(faults=lambda seen: odd[int(seen.prompt)]) as server:
        client = LLMClient(f"{dialect}/m", base_url=address(server, dialect))
        try:
            first, again = (
                client.process_prompts_sync(prompts, show_progress=False, journal=tmp_path / "j")
                for _ in range(2)
            )
        finally:
            client.close()
        assert server.ledger.total == len(prompts)
    assert len(odd) > 10
    assert {response.source for response in again} == {"journal"}
    assert [replace(r, source="provider") for r in again] == list(first)
