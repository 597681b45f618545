"""What limits reach in virtual time, they reach with real sockets: a server on loopback."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.scenarios import LOOPBACK
from benchmarks.scenarios.found import at_once
from benchmarks.scenarios.loopback import AGAIN, again
from benchmarks.scenarios.scenario import at_most
from benchmarks.scenarios.told import told

if TYPE_CHECKING:
    from benchmarks.scenarios.loopback import OnLoopback

pytestmark = pytest.mark.once

# Of hurried seconds: the engine makes up for as much.
BUSY = 0.1
# What is refused is no matter of speed; how much is used is one, and shown by the benchmark.
COUNTS = {"429s", "429s of all", "late 429s", "late 429s of all", "most in 60 s", "lost"}
# Of some real seconds each, so that a moment in which the machine does something else counts more.
SHORT = (
    replace(
        again(told("openai", "continuous", 600, 0.5), 10),
        aims=(at_most("late 429s", 0),),
        start=3.0,
        small_end=12.0,
        spare=0.0,
    ),
    replace(
        again(at_once(10, 3.0), 10),
        aims=(at_most("late 429s of all", 0.1),),
        start=6.0,
        small_end=18.0,
        late=6.0,
        spare=0.0,
    ),
)


def _cases() -> list[Any]:
    short = [pytest.param(row, id=f"{row.name}, short") for row in SHORT]
    marks = [pytest.mark.thorough]
    return short + [pytest.param(row, id=row.name, marks=marks) for row in LOOPBACK]


@pytest.mark.parametrize("row", _cases())
def test_a_real_server_refuses_no_more_than_a_simulated_one(row: OnLoopback) -> None:
    virtual = row.twin.run(small=True)
    if missed := row.missed(virtual):
        pytest.xfail(f"{missed} not reached in virtual time either")
    figures = row.run(small=True)
    missed = [name for name in row.missed(figures) if name in COUNTS]
    late = figures["loop late"] or 0.0
    if missed and late > BUSY:
        pytest.skip(f"this machine is too busy: its loop was late by {late:.2f} s")
    assert missed == [], (figures, virtual)
    assert (figures["used"] or 0.0) > 0.3


def test_each_that_is_named_is_run() -> None:
    assert {row.name.removeprefix("loopback: ") for row in LOOPBACK} == AGAIN.keys()
