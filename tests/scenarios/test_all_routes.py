"""Where all of several routes have failed: what is said of each, and who stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace import NoRouteError
from headrace.core.errors import (
    AllRoutesClosedError,
    AllRoutesFailedError,
    AllRoutesLateError,
    DeadlineError,
    GoneError,
    OutcomeUnknownError,
    OverloadedError,
)
from headrace.testing import Failure, Script
from tests.scenarios.outages import PROMPTS, between

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

TWO = ["openai/a", "openai/b"]
BUSY = Failure(OverloadedError("busy", status=503), 0.05)


def test_patience_with_several_routes_ends_with_what_came_of_each(
    world: type[World], tmp_path: Path
) -> None:
    journal = tmp_path / "run.journal"
    rule = between(3, 1e9, OutcomeUnknownError("it hung up"))
    sim = world(Script(rule), TWO, max_concurrent_requests=20, patience=60)
    with pytest.raises(AllRoutesFailedError) as caught:
        sim.run(PROMPTS, journal=journal)
    error = caught.value
    assert isinstance(error, NoRouteError)
    assert isinstance(error, AllRoutesClosedError)
    for route in TWO:
        assert f"it hung up ({route} gives nothing for longer than patience=60 s)" in str(error)
        assert f"{route} " in str(error).partition("attempts: ")[2]
    assert "answered and " in str(error)
    assert error.history
    assert all(isinstance(each, OutcomeUnknownError) for each in error.history)
    again = world(Script(latency=0.1), TWO)
    assert len(again.run(PROMPTS, journal=journal).succeeded) == len(PROMPTS)


def test_one_request_alone_has_all_its_attempts_in_the_history(world: type[World]) -> None:
    sim = world(Script(lambda *_: GoneError("401: the key is wrong")), TWO)

    async def main() -> object:
        return (await sim.client.ask("p")).error

    error = sim.play(main)
    assert isinstance(error, AllRoutesClosedError)
    assert [each.route for each in error.history] == TWO
    assert "(attempts: openai/a 1 failed, openai/b 1 failed)" in str(error)
    assert error.code == "all_routes_closed"


def test_a_deadline_after_failures_on_several_routes_says_what_came_of_each(
    world: type[World],
) -> None:
    sim = world(Script(lambda *_: BUSY), TWO, max_attempts=100, deadline=5)
    rows = sim.run(["p", "q"])
    for row in rows:
        error = row.error
        assert isinstance(error, AllRoutesLateError)
        assert isinstance(error, DeadlineError | AllRoutesFailedError)
        assert {each.route for each in error.history} == set(TWO)
        of_a = sum(each.route == "openai/a" for each in error.history)
        assert f"openai/a {of_a} overloaded" in str(error)


def test_a_deadline_after_failures_on_one_route_is_a_plain_one(world: type[World]) -> None:
    sim = world(Script(lambda *_: BUSY), max_attempts=100, deadline=2)
    error = sim.run(["p"])[0].error
    assert type(error) is DeadlineError
    assert len(error.history) > 1


def test_where_there_is_one_route_it_is_the_error_that_it_was(world: type[World]) -> None:
    sim = world(Script(lambda *_: GoneError("401")))
    with pytest.raises(NoRouteError) as caught:
        sim.run(PROMPTS)
    assert type(caught.value) is NoRouteError
