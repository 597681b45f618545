"""What limits reach in virtual time, they reach with real sockets: a server on loopback."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.scenarios import LOOPBACK
from benchmarks.scenarios.found import at_once
from benchmarks.scenarios.loopback import AGAIN, again
from benchmarks.scenarios.told import told

if TYPE_CHECKING:
    from benchmarks.scenarios.loopback import OnLoopback

pytestmark = pytest.mark.once

# Of some real seconds.
SHORT = (
    replace(
        again(told("openai", "continuous", 600, 0.5), 10), start=3.0, small_end=12.0, spare=0.0
    ),
    replace(again(at_once(10, 3.0), 10), start=6.0, small_end=18.0, late=6.0, spare=0.0),
)


def _cases() -> list[Any]:
    short = [pytest.param(row, id=f"{row.name}, short") for row in SHORT]
    marks = [pytest.mark.thorough]
    return short + [pytest.param(row, id=row.name, marks=marks) for row in LOOPBACK]


@pytest.mark.parametrize("row", _cases())
def test_a_real_server_is_used_as_a_simulated_one(row: OnLoopback) -> None:
    figures, virtual = row.run(small=True), row.twin.run(small=True)
    missed, missed_there = row.missed(figures), row.twin.missed(virtual)
    assert set(missed) <= set(missed_there), (figures, virtual)


def test_each_that_is_named_is_run() -> None:
    assert {row.name.removeprefix("loopback: ") for row in LOOPBACK} == AGAIN.keys()
