"""Prompts that a server always fails at: they fail alone, and end neither a run nor its resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace import NoRouteError
from headrace.core.errors import OverloadedError
from headrace.testing import Failure, Script
from tests.scenarios.outages import PROMPTS, between

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

FAULT = OverloadedError("boom", status=500)


def poisonous(context: RequestContext, route: Route, n: int) -> Outcome:
    del route, n
    return Failure(FAULT, 0.2) if "poison" in str(context.prompt) else 0.2


def poison(count: int) -> list[str]:
    return [f"poison {n}" for n in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 12, 50])
def test_rows_that_always_fail_at_the_end_of_a_run_fail_alone(
    world: type[World], count: int
) -> None:
    sim = world(Script(poisonous), max_concurrent_requests=20, max_attempts=5)
    rows = sim.run([*PROMPTS[:200], *poison(count)])
    assert len(rows.succeeded) == 200
    assert [row.error and row.error.code for row in rows[200:]] == ["overloaded"] * count
    # Two minutes in which the route may have been in trouble, and then their own attempts.
    assert 120 < sim.elapsed < 180


@pytest.mark.parametrize("count", [1, 4, 5, 12, 50])
def test_asked_again_they_fail_again_and_the_run_ends(
    world: type[World], tmp_path: Path, count: int
) -> None:
    prompts = [*PROMPTS[:50], *poison(count)]
    path = tmp_path / "run.journal"
    world(Script(poisonous)).run(prompts, journal=path)
    for _ in range(2):
        sim = world(Script(poisonous))
        rows = sim.run(prompts, journal=path)
        assert {row.source for row in rows.succeeded} == {"journal"}
        assert [row.id for row in rows.failed] == [str(50 + n) for n in range(count)]
        assert sim.elapsed < 60


def test_nor_does_an_outage_before_the_end_fail_the_last_ones(world: type[World]) -> None:
    sim = world(Script(between(3, 90, FAULT)), max_concurrent_requests=20)
    assert len(sim.run(PROMPTS[:140]).succeeded) == 140


def test_in_an_outage_of_minutes_nobody_fails_while_many_wait(world: type[World]) -> None:
    sim = world(Script(between(3, 300, FAULT)), max_concurrent_requests=20)
    assert len(sim.run(PROMPTS).succeeded) == len(PROMPTS)
    assert sim.elapsed > 300


@pytest.mark.parametrize("status", [200, 408, 409, 502, 503, 504, 529])
def test_an_overloaded_server_says_nothing_of_the_prompt(world: type[World], status: int) -> None:
    busy = OverloadedError("busy", status=status)
    sim = world(Script(between(3, 1e9, busy)), max_concurrent_requests=1, patience=120)
    with pytest.raises(NoRouteError, match="patience=120 s"):
        sim.run(PROMPTS[:20])


@pytest.mark.parametrize("drawn_from", [list, iter])
@pytest.mark.parametrize("count", [1, 5, 31])
def test_few_rows_fail_alone_at_a_route_that_never_worked(
    world: type[World], count: int, drawn_from: Callable[[list[str]], object]
) -> None:
    sim = world(Script(poisonous), max_attempts=5)
    rows = sim.run(drawn_from(poison(count)))
    assert [row.error and row.error.code for row in rows] == ["overloaded"] * count
    assert sim.elapsed < 60
