"""The numbers that limits are to reach, in virtual time: the scenarios of ``benchmarks limits``."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest

from benchmarks.scenarios import ADMITTING, ALL, SCENARIOS
from benchmarks.scenarios.admitting import IN_FLIGHT, Line

if TYPE_CHECKING:
    from benchmarks.scenarios import Figures, Scenario
    from benchmarks.scenarios.admitting import Admitting

pytestmark = pytest.mark.once

# What is not reached yet: the figures that miss their aims, by the name of the scenario.
KNOWN_MISSED: Final[dict[str, tuple[str, ...]]] = {
    "told: openai, 6,000 requests, second, 0.3 s": ("late 429s",),
    "told: together, 6,000 requests, second, 3 s": ("late 429s",),
    "found: 60 requests, minute, Retry-After": ("late 429s of all",),
    "found: 60 requests, minute, no hint": ("late 429s of all",),
    "found: 60 requests, sliding, Retry-After": ("late 429s of all",),
    "found: 60 requests, sliding, no hint": ("late 429s of all",),
    "found: 6,000 requests, sliding, Retry-After": ("late 429s of all",),
    "by chance: 0.1% are refused with 429": ("used",),
    "by chance: 0.3% are refused with 503": ("used",),
    # Nobody can know of it before a refusal, nor that it has not been raised again.
    "halved: 300 to 150 requests, continuous, no headers": ("late 429s",),
    "halved: 300 to 150 requests, minute, no headers": ("late 429s", "late 429s of all"),
    "halved: 300 to 150 requests, sliding, no headers": ("late 429s", "used"),
    "halved: 3,000 to 1,500 requests, continuous, no headers": ("late 429s",),
    "halved: 3,000 to 1,500 requests, minute, no headers": ("late 429s",),
    "halved: 3,000 to 1,500 requests, sliding, no headers": ("late 429s",),
    "doubled: 300 to 600 requests, continuous, no headers": ("90 % after",),
    "doubled: 300 to 600 requests, minute, no headers": ("used",),
    "doubled: 3,000 to 6,000 requests, continuous, no headers": ("90 % after",),
    "doubled: 3,000 to 6,000 requests, sliding, no headers": ("used",),
    "flapping: 10 s up, 5 s down": ("sent in all",),
    "admission: 10 waiting for limits": ("CPU a request",),
}
# One of each kind; the others run in the thorough session.
SHOWN: Final = frozenset(
    {
        "known: 600 requests, sliding",
        "known: 300,000 tokens, sliding",
        "known: 300,000 tokens, one prompt of 60 % in 1,000, sliding",
        "known: 300,000 tokens, estimates off by ±15 %",
        "told: openai, 600 requests, minute, 1 s",
        "told: two keys of one account, 600 requests each, sliding, 1 s",
        "found: 600 requests, continuous, no hint",
        "found: knee at 20 at once",
        "halved: 300 to 150 requests, minute, told by headers",
        "doubled: 300 to 600 requests, minute, told by headers",
        "output a tenth of max_tokens: tokens stated",
        "outage of 60 s: 503",
        "15 % random failures for an hour: 500",
        "key revoked mid-run, one of two",
    }
)

# Calls of Python and C that take about ten microseconds together.
CALLS: Final = 80
REQUESTS: Final = 500


@cache
def figures_of(name: str) -> Figures:
    """Each scenario runs once for all its aims."""
    return next(s for s in SCENARIOS if s.name == name).run(small=True)


def _cases() -> list[Any]:
    return [
        pytest.param(
            scenario,
            aim.figure,
            id=f"{scenario.name}: {aim}",
            marks=[
                *_missed(scenario.name, aim.figure),
                *([] if scenario.name in SHOWN else [pytest.mark.thorough]),
                pytest.mark.xdist_group(scenario.name),
            ],
        )
        for scenario in SCENARIOS
        for aim in scenario.aims
    ]


def _missed(name: str, figure: str) -> list[pytest.MarkDecorator]:
    if figure not in KNOWN_MISSED.get(name, ()):
        return []
    return [pytest.mark.xfail(reason=f"{figure} is not reached yet", strict=True)]


@pytest.mark.parametrize(("scenario", "figure"), _cases())
def test_a_number_is_reached(scenario: Scenario, figure: str) -> None:
    figures = figures_of(scenario.name)
    assert figure not in scenario.missed(figures), figures


def test_what_is_known_to_be_missed_is_there() -> None:
    aims = {row.name: {aim.figure for aim in row.aims} for row in ALL}
    assert not [name for name, missed in KNOWN_MISSED.items() if not aims[name].issuperset(missed)]
    assert aims.keys() >= SHOWN


def calls(waiting: int, row: Admitting) -> float:
    """How many calls one request is for the admission, while so many wait."""
    line, seen = Line(waiting, row.binding), 0

    def count(frame: object, event: str, what: object) -> None:
        nonlocal seen
        del frame, what
        seen += event in {"call", "c_call"}

    line.turn(2 * IN_FLIGHT)
    sys.setprofile(count)
    try:
        line.turn(REQUESTS)
    finally:
        sys.setprofile(None)
    return seen / REQUESTS


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.name, marks=_missed(row.name, "CPU a request"))
        for row in ADMITTING
        if row.waiting == 10
    ],
)
def test_admission_costs_little(row: Admitting) -> None:
    """Counted in calls: seconds would tell of the machine, too."""
    assert calls(row.waiting, row) <= CALLS


@pytest.mark.parametrize("row", [row for row in ADMITTING if row.waiting > 10], ids=str)
def test_admission_costs_the_same_however_many_wait(row: Admitting) -> None:
    assert calls(20_000, row) <= 1.05 * calls(10, row)
