"""What is known of limits survives being written down, and nothing else is read as it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.policy import known
from headrace.policy.cost import DIMENSIONS
from headrace.policy.known import Known, ToldRate

NOTHING: Final = Known("openai/m", "openai/m", 1e9)
ALL: Final = replace(
    NOTHING,
    at_once=40.0,
    is_bound=True,
    per_minute=600.0,
    by_windows=True,
    told=(ToldRate("requests", 60, 3_000), ToldRate("tokens", 86_400, 1e6)),
    correction=1.1,
)
AMOUNTS: Final = st.floats(1, 1e12)
RATES: Final = st.lists(
    st.builds(
        ToldRate, st.sampled_from(DIMENSIONS), st.sampled_from([1.0, 60.0, 86_400.0]), AMOUNTS
    ),
    unique_by=lambda rate: rate.what,
).map(tuple)
SOME: Final = st.builds(
    Known,
    st.text(min_size=1, max_size=50).filter(lambda name: name.isprintable()),
    st.just("openai/m"),
    AMOUNTS,
    st.none() | AMOUNTS,
    st.booleans(),
    st.none() | AMOUNTS,
    st.booleans(),
    RATES,
    st.none() | st.floats(0.25, 4),
)


@given(SOME)
def test_what_is_written_is_read(what: Known) -> None:
    assert known.read(orjson.loads(orjson.dumps(what.form()))) == what


ANY_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
FIELDS: Final = ["format", *NOTHING.__slots__, "more"]


@given(st.dictionaries(st.sampled_from(FIELDS), ANY_JSON))
def test_whatever_stands_there_is_read_or_is_nothing(changes: dict[str, object]) -> None:
    found = known.read({**ALL.form(), **changes})
    assert found is None or known.read(found.form()) == found


@pytest.mark.parametrize(
    "form",
    [
        None,
        [],
        "openai/m",
        {},
        {**ALL.form(), "format": 2},
        {**ALL.form(), "route": ""},
        {**ALL.form(), "model": 5},
        {**ALL.form(), "at": "today"},
    ],
)
def test_what_is_something_else_is_nothing(form: object) -> None:
    assert known.read(form) is None


def test_of_what_is_partly_wrong_the_rest_is_read() -> None:
    told = [
        {"what": "requests", "seconds": 60, "amount": 50},
        {"what": "wishes", "seconds": 60, "amount": 50},
        {"what": "tokens", "seconds": 1e9, "amount": 50},
        {"what": "tokens", "seconds": 60, "amount": 0},
        "tokens",
    ]
    form = {**NOTHING.form(), "at_once": True, "per_minute": -5, "told": told, "of_tomorrow": 1}
    assert known.read(form) == replace(NOTHING, told=(ToldRate("requests", 60, 50),))


def test_only_what_is_new_is_worth_writing() -> None:
    assert not NOTHING.is_news(None)
    assert ALL.is_news(None)
    assert not NOTHING.is_news(ALL)
    assert not ALL.is_news(ALL)
    assert not replace(ALL, per_minute=610.0).is_news(ALL)
    assert replace(ALL, per_minute=700.0).is_news(ALL)
    assert replace(ALL, told=ALL.told[:1]).is_news(ALL)
    assert replace(ALL, is_bound=False).is_news(ALL)
    # Else it would grow too old though it is seen each day.
    assert replace(ALL, at=ALL.at + 2 * 86_400).is_news(ALL)


def test_after_a_week_it_is_too_old() -> None:
    assert not ALL.is_old(ALL.at + 6 * 86_400)
    assert ALL.is_old(ALL.at + 8 * 86_400)
    assert ALL.is_old(ALL.at - 8 * 86_400)


def test_what_could_not_be_found_out_is_kept() -> None:
    before = replace(ALL, told=())
    now = replace(NOTHING, at=2e9)
    assert now.over(None, is_stated=True) == now
    stated = now.over(before, is_stated=True)
    assert stated == replace(before, at=2e9)
    # Nothing was refused today, and nothing is told: more is borne than before.
    assert now.over(before, is_stated=False).at_once is None
    assert replace(now, told=ALL.told).over(before, is_stated=False).per_minute is None


def test_a_short_run_makes_nothing_smaller() -> None:
    """Where nothing is refused, it begins with half, to see again where answers get slower."""
    before = replace(NOTHING, at_once=100.0)
    assert before.first_at_once == 50
    short, slow = replace(NOTHING, at_once=50.0), replace(NOTHING, at_once=60.0)
    assert short.over(before, is_stated=False).at_once == 100
    assert slow.over(before, is_stated=False).at_once == 60
    assert replace(before, is_bound=True).first_at_once == 100
    assert replace(before, told=ALL.told).first_at_once == 100
