"""Answers of a given shape that are read again after the row has changed how they are had."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest

from headrace import APIResponse, LLMClient, Model
from headrace.testing import FakeServer, faults, plans
from tests.clients import quiet
from tests.scenarios.test_structured import GOOD, OSLO, City
from tests.wire.golden import route

if TYPE_CHECKING:
    from pathlib import Path

Form = Literal["native", "tool", "instruct"]
CALL: Final = {"id": "a", "type": "function", "function": {"name": "City", "arguments": GOOD}}
BY_TOOL: Final = {"role": "assistant", "content": None, "tool_calls": [CALL]}
AS_TEXT: Final = {"role": "assistant", "content": GOOD}


def answered(message: dict[str, Any]) -> faults.Fault:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"object": "chat.completion", "model": "m", "choices": [choice]}
    return faults.Body(json.dumps(body).encode())


async def asked(
    server: FakeServer, form: Form, *, journal: Path | None, cache: Path | None
) -> APIResponse[Any]:
    """The answer of a client whose row has this form."""
    model = Model(id="openai/m", structured=form)
    async with LLMClient(model, base_url=server.base_url, api_key="k", cache=cache) as client:
        [response] = await quiet(client, ["p"], output_schema=City, journal=journal)
    row: APIResponse[Any] = response
    return row


@pytest.mark.parametrize("kept", ["journal", "cache"])
@pytest.mark.parametrize(
    ("message", "before", "after"),
    [(BY_TOOL, "tool", "native"), (BY_TOOL, "tool", "instruct"), (AS_TEXT, "native", "tool")],
)
def test_an_answer_is_read_as_it_was_asked_for(
    message: dict[str, Any], before: Form, after: Form, kept: str, tmp_path: Path
) -> None:
    place = {"journal": None, "cache": None, kept: tmp_path / "kept"}

    async def main() -> tuple[APIResponse[Any], APIResponse[Any]]:
        never = faults.Status(401)
        async with FakeServer(faults=plans.Sequence([answered(message), never])) as server:
            return await asked(server, before, **place), await asked(server, after, **place)

    first, again = asyncio.run(main())
    assert (first.source, again.source) == ("provider", kept)
    assert first.parsed == again.parsed == OSLO
    assert (again.completion, again.tool_calls) == (GOOD, ())


def test_what_an_older_journal_does_not_say_is_read_as_the_row_says() -> None:
    row = route("openai_chat", {"model": {"structured": "tool"}})
    for recorded in (None, "tool", "odd", ["native"]):
        assert row.when_structured(recorded) is row
    assert row.when_structured("native").structured == "native"
