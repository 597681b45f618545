"""A conversation with tools that was killed goes on with what was told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import Image, LLMClient, Tool, ToolResult, errors
from headrace.testing import Script
from headrace.testing.disk import FaultyDisk
from tests.clients import made, virtual
from tests.clients import run as run_of
from tests.turns import Rounds, asking

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from headrace import LLMClient, ToolRun

IMAGE: Final = Image.from_bytes(b"\x89PNG\r\n\x1a\n0123")


def counted(calls: list[str]) -> Callable[..., Coroutine[Any, Any, str]]:
    async def dice(side: str) -> str:
        """Throw it: never the same."""
        calls.append(side)
        return f"{side}: {len(calls)}"

    return dice


def test_a_killed_loop_goes_on_and_asks_and_calls_nothing_again(tmp_path: Path) -> None:
    journal, calls = tmp_path / "j", list[str]()
    turns = (
        asking(("dice", '{"side": "a"}'), ("dice", '{"side": "b"}')),
        asking(("dice", '{"side": "c"}')),
    )
    cut = Rounds(*turns, errors.RejectedError("no", status=400))
    assert cut.run([counted(calls)], journal=journal).response.is_error
    assert calls == ["a", "b", "c"]
    whole = Rounds("fine")
    run = whole.run([counted(calls)], journal=journal)
    assert [each.source for each in run.rounds] == ["journal", "journal", "provider"]
    assert calls == ["a", "b", "c"]
    assert [part.content for part in whole.results()] == ["c: 3"]
    assert whole.asked[0].conversation.messages[2].parts[1] == ToolResult("c1", "b: 2", "dice")
    again = Rounds().run([counted(calls)], journal=journal)
    assert (again.response.completion, len(calls)) == ("fine", 3)
    client = made(Script())
    run_of(client, ["other"], journal=journal)
    assert client.last_run is not None
    assert client.last_run.summary.resent == 0


def test_a_tool_that_was_killed_is_called_again(tmp_path: Path) -> None:
    journal, calls = tmp_path / "j", list[str]()

    async def dice(side: str) -> str:
        calls.append(side)
        if side == "b" and len(calls) == 2:
            await asyncio.Event().wait()
        return side

    turn = asking(("dice", '{"side": "a"}'), ("dice", '{"side": "b"}'))

    async def killed(client: LLMClient) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await client.run_tool_loop("p", tools=[dice], journal=journal)

    virtual(Rounds(turn).script, killed)
    resumed = Rounds("fine")
    run = resumed.run([dice], prompt="p", journal=journal)
    assert (run.response.completion, calls) == ("fine", ["a", "b", "b"])
    assert [result.content for result in resumed.results()] == ["a", "b"]


def test_images_come_back_from_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "j"

    def look() -> list[object]:
        return [IMAGE, "a picture", Image.from_url("https://example.test/a.png")]

    turns = (asking(("look", "")), "fine")
    first = Rounds(*turns).run([look], journal=journal)

    def never() -> None:
        raise AssertionError

    tool = Tool.of(look)
    assert isinstance(tool, Tool)
    second = Rounds().run([replace(tool, call=never)], journal=journal)
    assert second.conversation == first.conversation


def test_a_journal_that_fails_under_a_tool_ends_the_loop_with_what_was_paid() -> None:
    disk, calls = FaultyDisk(), list[str]()

    async def dice(side: str) -> str:
        calls.append(side)
        disk.fail("fsync")
        return side

    rounds = Rounds(asking(("dice", '{"side": "a"}')))

    async def main(client: LLMClient) -> ToolRun[Any]:
        return await client.run_tool_loop("2 + 3?", tools=[dice], journal="/runs/j")

    run = virtual(rounds.script, main, disk=disk)
    assert isinstance(run.response.error, errors.JournalError)
    assert (run.is_complete, run.rounds[0].tool_calls[0].name, calls) == (False, "dice", ["a"])
    # What was said can be gone on with: the call, without the result that nobody was told.
    assert [m.role for m in run.conversation.messages] == ["user", "assistant"]
