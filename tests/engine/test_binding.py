"""What is said to bind is what makes requests wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import Binding, Model
from headrace.core.errors import GoneError
from headrace.engine.binding import explain
from headrace.engine.leased import LeasedLimit
from headrace.engine.limits import NAMES, Rate, Scope, alone
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import Concurrency
from headrace.policy.breaker import NEVER
from headrace.policy.buckets import SECOND
from headrace.policy.cost import ONE, cost
from headrace.registry.resolve import Place, route
from headrace.wire.failure import Limit, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

PLACE: Final = Place(base_url="http://127.0.0.1:1/v1")
NOW: Final = 1_000 * SECOND
AMOUNTS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3_000), max_size=3)
ROWS = AMOUNTS.filter(
    lambda row: (
        row.get("tokens_per_minute", 3_000)
        >= max((row[name] for name in NAMES if name in row and "put_tokens" in name), default=0)
    )
)
COSTS = st.builds(cost, st.integers(0, 500), st.integers(0, 500))
TOLD = Limits(requests=Limit(60.0, 0.0, 30.0), tokens=Limit(1_000.0, 400.0, 5.0))


def leased(scope: str, name: str, amount: float, interval: int) -> Rate:
    """A limit of which something was lent, if it has an even amount."""
    del scope
    limit = LeasedLimit(name, amount, interval, call, call)
    if not amount % 2:
        limit.lend(int(amount), 1, NOW + SECOND, NOW + 600 * SECOND)
    return limit


def call() -> None:
    """Nobody is asked for more."""


def send(state: RouteState, now: int, draw: Draw) -> None:
    asked = draw(COSTS)
    if state.wait(now, asked) <= 0:
        state.take(now, asked)


def come_back(state: RouteState, now: int, draw: Draw) -> None:
    if state.own.in_flight:
        state.leave(now - SECOND, now, draw(COSTS), draw(COSTS))


def park(state: RouteState, now: int, draw: Draw) -> None:
    state.account.parked_until = now + draw(st.integers(0, 9)) * SECOND


def fail(state: RouteState, now: int, draw: Draw) -> None:
    state.breaker.fail(now, draw(st.floats(0, 0.99)))


def find(state: RouteState, now: int, draw: Draw) -> None:
    state.account.found.recall(now, draw(st.integers(1, 600)), by_windows=False)


def trip(state: RouteState, now: int, draw: Draw) -> None:
    state.breaker.trip(now, draw(st.sampled_from([None, 2.0])))


def close(state: RouteState, now: int, draw: Draw) -> None:
    del now, draw
    state.breaker.reset()


def hear(state: RouteState, now: int, draw: Draw) -> None:
    if state.account.hearing is not None:
        mark = state.account.hearing.note(draw(COSTS), now)
        state.account.hearing.hear(TOLD, mark, now, now)
        state.rate()


EVENTS: Final = (send, send, send, come_back, park, fail, find, trip, close, hear)


@pytest.mark.once
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_longest_wait_is_the_one_that_admission_sees(data: st.DataObject) -> None:
    draw, now = data.draw, NOW
    make = draw(st.sampled_from([alone, leased]))
    slots = Concurrency(draw(st.integers(1, 9)), fixed=True)
    client = Scope("client", concurrency=slots, limits=draw(AMOUNTS), make=make)
    # At the vendor's own address its server may tell its limits.
    place = draw(st.sampled_from([PLACE, Place()]))
    row: dict[str, Any] = draw(ROWS)
    state = RouteState(route(Model(id="openai/m", **row), place), client)
    for event in draw(st.lists(st.sampled_from(EVENTS), max_size=12)):
        now += draw(st.integers(0, 3 * SECOND))
        event(state, now, draw)
    asked = draw(COSTS)
    reasons = explain(state, asked, now)
    waits = [wait for wait, _ in reasons]
    assert waits == sorted(waits, reverse=True)
    assert max([0, *waits]) == max(0, state.wait(now, asked))
    assert all(str(binding) for _, binding in reasons)


def test_a_route_that_is_gone_has_no_other_reason() -> None:
    client = Scope("client", concurrency=Concurrency(1, fixed=True), limits={})
    state = RouteState(route(Model(id="openai/m"), PLACE), client)
    state.take(NOW, cost(1, 1))
    state.gone = GoneError("404: no such model")
    gone = Binding("gone", "openai/m", state="404: no such model")
    assert explain(state, cost(1, 1), NOW) == [(NEVER, gone)]


def test_to_ask_presses_nobody() -> None:
    """A pace grows while requests wait for it, and a store lends what is asked for."""
    calls: list[bool] = []

    def wanted() -> None:
        calls.append(True)

    def make(scope: str, name: str, amount: float, interval: int) -> Rate:
        del scope
        limit = LeasedLimit(name, amount, interval, wanted, wanted)
        limit.lend(1, 1, NOW, NOW + 600 * SECOND)
        return limit

    slots = Concurrency(1, fixed=True)
    client = Scope("client", concurrency=slots, limits={"requests_per_minute": 60}, make=make)
    state = RouteState(route(Model(id="openai/m"), PLACE), client)
    state.account.found.recall(NOW, 60, by_windows=False)
    state.take(NOW, ONE)
    names = {binding.what for _, binding in explain(state, ONE, NOW)}
    assert names == {"concurrency", "requests/min", "pace"}
    assert (state.account.found.is_binding, calls) == (False, [])


def test_what_the_server_tells_is_named_as_told() -> None:
    client = Scope("client", concurrency=Concurrency(9, fixed=True), limits={})
    state = RouteState(route(Model(id="openai/m"), Place()), client)
    assert state.account.hearing is not None
    mark = state.account.hearing.note(cost(10, 10), NOW)
    state.account.hearing.hear(TOLD, mark, NOW, NOW)
    state.rate()
    names = [str(binding) for _, binding in explain(state, cost(300, 300), NOW)]
    assert set(names) == {
        "requests/min of openai/m (told: 60)",
        "tokens/min of openai/m (told: 1,000)",
    }


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        (Binding("tokens/min", "openai/m#2", 1e6), "tokens/min of openai/m key 2 (1,000,000)"),
        (Binding("pace", "b/m#3@eu", 2.5, source="found"), "pace of b/m key 3@eu (found: 2.5/min)"),
        (Binding("quiet", "openai/m", seconds=12.2), "quiet that openai/m asked for, 12 s"),
        (Binding("requests/min", "client", 60, seconds=0.4), "requests/min of the client (60)"),
    ],
)
def test_a_binding_reads_as_a_phrase(binding: Binding, said: str) -> None:
    assert str(binding) == said
