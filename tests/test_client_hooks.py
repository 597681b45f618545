"""What callers hook in, streams, and closing: of the client's verbs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from headrace import (
    APIResponse,
    LLMClient,
    NoRouteError,
    RequestContext,
    Responses,
)
from headrace.core.errors import (
    GoneError,
    JournalError,
    OverloadedError,
    RejectedError,
)
from headrace.core.events import AttemptFailed, RequestFinished
from headrace.testing import Script
from tests.clients import made, quiet, run, virtual

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.core.events import Event
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome

# What may be asked, and what comes back.


def test_on_response_once_for_each_row_in_completion_order() -> None:
    seen: list[int] = []

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        return float(10 - n)

    async def main(client: LLMClient) -> None:
        await quiet(client, ["p"] * 10, on_response=lambda row: seen.append(row.index))

    virtual(Script(rule), main)
    assert seen == list(range(9, -1, -1))


def test_an_async_on_response_is_awaited() -> None:
    seen: list[str] = []

    async def note(row: APIResponse[Any]) -> None:
        await asyncio.sleep(1)
        seen.append(row.id)

    async def main(client: LLMClient) -> int:
        await quiet(client, ["p"] * 10, on_response=note)
        return len(seen)

    assert virtual(Script(), main) == 10


def test_an_on_response_that_fails_costs_no_row(caplog: pytest.LogCaptureFixture) -> None:
    def fail(row: APIResponse[Any]) -> None:
        msg = f"cannot show {row.id}"
        raise LookupError(msg)

    with caplog.at_level(logging.ERROR, "headrace"):
        rows = run(made(Script()), ["p", "q"], on_response=fail)
    assert len(rows.succeeded) == 2
    assert len([r for r in caplog.records if "on_response failed" in r.message]) == 2


def test_listeners_hear_everything_and_steer_nothing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    def fail(event: Event) -> None:
        del event
        raise LookupError

    script = Script([OverloadedError("busy", status=503), RejectedError("no", status=400)])
    client = made(script, chance=lambda: 0.01)
    client.add_listener(fail)
    client.add_listener(heard.append)
    with caplog.at_level(logging.ERROR, "headrace"):
        run(client, [RequestContext(prompt="p", id="mine")])
    kinds = [type(event) for event in heard]
    assert kinds == [AttemptFailed, AttemptFailed, RequestFinished]
    assert isinstance(heard[0], AttemptFailed)
    assert (heard[0].id, heard[0].wait is None) == ("mine", False)
    assert isinstance(heard[1], AttemptFailed)
    assert heard[1].wait is None
    assert "listener failed" in caplog.text


def test_a_bug_in_one_request_is_that_requests_error(caplog: pytest.LogCaptureFixture) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        if n in {1, 2}:
            raise ZeroDivisionError
        return "fine"

    client = made(Script(rule), max_concurrent_requests=1)
    with caplog.at_level(logging.ERROR, "headrace"):
        rows = run(client, ["a", "b", "c", "d"])
    assert [row.error.code if row.error else None for row in rows] == [
        None,
        "unexpected",
        "unexpected",
        None,
    ]
    assert len([r for r in caplog.records if "unforeseen" in r.message]) == 1


# Streams.


def test_a_stream_gives_what_is_ready_or_keeps_the_order() -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        return 5.0 if n == 0 else 1.0

    async def main(client: LLMClient) -> list[list[int]]:
        found = []
        for ordered in (False, True):
            async with client.process_stream(["p"] * 6, ordered=ordered) as rows:
                found.append([row.index async for row in rows])
        return found

    script = Script(lambda context, route, n: rule(context, route, n % 6))
    ready, in_order = virtual(script, main)
    assert in_order == [0, 1, 2, 3, 4, 5]
    assert sorted(ready) == in_order
    assert ready[-1] == 0


def test_a_stream_that_stops_gives_what_is_finished_and_then_says_why() -> None:
    seen: list[int] = []
    note = seen.append

    async def main(client: LLMClient) -> None:
        async with client.process_stream(f"p{n}" for n in range(500)) as rows:
            async for row in rows:
                note(row.index)

    script = Script(lambda _c, _r, n: GoneError("401") if n >= 100 else 0.1)
    with pytest.raises(NoRouteError, match="401"):
        virtual(script, main, max_concurrent_requests=10)
    assert len(seen) == 100


def test_a_stream_has_on_response_too() -> None:
    seen: list[int] = []

    async def main(client: LLMClient) -> int:
        stream = client.process_stream(["p"] * 5, on_response=lambda row: seen.append(row.index))
        async with stream as rows:
            return len([row async for row in rows])

    assert virtual(Script(), main) == 5
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_closing_under_a_run_hangs_nobody() -> None:
    async def main(client: LLMClient) -> int:
        running = asyncio.create_task(quiet(client, ["p"] * 30))
        await asyncio.sleep(5)
        await client.aclose()
        rows: Responses[Any] = await running
        return len(rows.succeeded)

    assert virtual(Script(latency=0.5), main, max_requests_per_minute=60) == 30


def test_a_journal_in_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    script = Script()
    with pytest.raises(JournalError, match="journal"):
        run(made(script), ["p"], journal=tmp_path / "file" / "run.journal")
    assert not script.calls
