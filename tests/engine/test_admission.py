"""Admission: in turn, at once, without polling, and nothing leaks, whoever leaves when."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import LLMClient, Model, RequestContext
from headrace.core.errors import (
    GoneError,
    NoRouteError,
    TooLargeError,
)
from headrace.engine.admission import Admission, Permit, Waiter, fitting
from headrace.engine.limits import Scope
from headrace.engine.order import interchangeable
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import Concurrency
from headrace.policy.buckets import SECOND
from headrace.policy.cost import Cost, cost
from headrace.providers.catalog import Catalog
from headrace.registry.resolve import Place, route
from headrace.testing import Script, scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.model import Route

NOWHERE: Final = "http://127.0.0.1:1/v1"


class Notes:
    """A ``Waker`` that only notes what it is told."""

    def __init__(self) -> None:
        self.delivered: list[Waiter] = []
        self.armed: list[int] = []

    def deliver(self, waiter: Waiter) -> bool:
        self.delivered.append(waiter)
        return True

    def arm(self, wait: int) -> bool:
        self.armed.append(wait)
        return True


class Hall:
    """An admission with some routes, and a hand that asks, leaves and gives back."""

    def __init__(self, slots: int | None = None, *, rpm: float | None = None) -> None:
        concurrency = Concurrency(slots or 1_000_000, fixed=slots is not None)
        limits = {"requests_per_minute": rpm}
        self.client = Scope("client", concurrency=concurrency, limits=limits)
        self.admission = Admission()
        self.notes = Notes()
        self.now = 1_000 * SECOND
        self.loop = asyncio.new_event_loop()

    def state(self, name: str, **limits: Any) -> RouteState:
        model = Model(id=f"openai/{name}", **limits)
        return RouteState(route(model, Place(base_url=NOWHERE)), self.client)

    def ask(self, *lanes: RouteState, tokens: int = 0) -> Permit | Waiter:
        order = interchangeable(lanes)
        permit = self.admission.try_admit(order, cost(tokens, 0), self.now)
        if permit is not None:
            return permit
        future: asyncio.Future[Permit] = self.loop.create_future()
        waiter = Waiter(order, cost(tokens, 0), self.admission.number(), future, self.notes)
        self.admission.enqueue(waiter, self.now)
        return waiter

    def wait(self, *lanes: RouteState, tokens: int = 0) -> Waiter:
        waiter = self.ask(*lanes, tokens=tokens)
        assert isinstance(waiter, Waiter)
        return waiter

    def give_back(self, permit: Permit | Waiter | None) -> None:
        assert isinstance(permit, Permit)
        permit.leave(self.now, None)
        self.admission.pump(self.now)

    def later(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)
        self.admission.pump(self.now)


@pytest.fixture
def halls() -> Iterator[type[Hall]]:
    made: list[Hall] = []

    class Noted(Hall):
        def __init__(self, slots: int | None = None, *, rpm: float | None = None) -> None:
            super().__init__(slots, rpm=rpm)
            made.append(self)

    yield Noted
    for hall in made:
        hall.loop.close()


def test_first_come_first_served(halls: type[Hall]) -> None:
    hall = halls(1)
    a = hall.state("a")
    permit: Permit | Waiter | None = hall.ask(a)
    waiters = [hall.wait(a) for _ in range(5)]
    for waiter in waiters:
        hall.give_back(permit)
        assert hall.notes.delivered[-1] is waiter
        permit = waiter.permit
    assert len(hall.notes.delivered) == 5


def test_nobody_new_passes_those_who_wait(halls: type[Hall]) -> None:
    hall = halls(rpm=600)
    small = hall.state("small", tokens_per_minute=6_000)
    hall.ask(small, tokens=6_000)
    large = hall.wait(small, tokens=5_000)
    # It would cost nothing of what the other waits for.
    hall.wait(small, tokens=0)
    assert not hall.notes.delivered
    hall.later(61)
    assert hall.notes.delivered[0] is large


def test_a_waiter_takes_the_first_of_its_routes_with_room(halls: type[Hall]) -> None:
    hall = halls()
    a, b = hall.state("a", max_concurrent_requests=1), hall.state("b", max_concurrent_requests=1)
    on_a, on_b = hall.ask(a), hall.ask(b)
    either = hall.wait(a, b)
    hall.give_back(on_b)
    assert either.permit is not None
    assert either.permit.state is b
    hall.give_back(on_a)
    assert (a.waiting, b.waiting, a.own.in_flight) == (0, 0, 0)


def test_a_full_route_blocks_only_those_who_need_it(halls: type[Hall]) -> None:
    hall = halls()
    a, b = hall.state("a", max_concurrent_requests=1), hall.state("b")
    hall.ask(a)
    for_a = hall.wait(a)
    assert isinstance(hall.ask(b), Permit)
    assert isinstance(hall.ask(a, b), Permit)
    assert for_a.permit is None


def test_an_earlier_waiter_for_either_route_comes_before_a_later_one(halls: type[Hall]) -> None:
    hall = halls()
    a, b = hall.state("a", max_concurrent_requests=1), hall.state("b", max_concurrent_requests=1)
    on_a = hall.ask(a)
    hall.ask(b)
    either, for_a = hall.wait(a, b), hall.wait(a)
    hall.give_back(on_a)
    assert either.permit is not None
    assert for_a.permit is None


def test_the_least_busy_of_the_routes_with_room_is_taken(halls: type[Hall]) -> None:
    hall = halls(3)
    a, b = hall.state("a"), hall.state("b")
    permits = [hall.ask(a, b) for _ in range(3)]
    waiters = [hall.wait(a, b) for _ in range(3)]
    assert [p.state for p in permits if isinstance(p, Permit)] == [a, b, a]
    hall.give_back(permits[0])
    hall.give_back(permits[2])
    assert [w.permit.state for w in waiters if w.permit is not None] == [a, a]


def test_the_timer_is_set_for_the_moment_a_head_could_pass(halls: type[Hall]) -> None:
    hall = halls(rpm=60)
    a = hall.state("a")
    hall.ask(a)
    first = hall.wait(a)
    hall.wait(a)
    # Who stands behind another changes nothing, and sets no timer.
    assert len(hall.notes.armed) == 1
    hall.now += hall.notes.armed[0]
    hall.admission.pump(hall.now)
    assert hall.notes.delivered == [first]
    assert len(hall.notes.armed) == 2


def test_waiters_of_a_dead_route_are_told_why(halls: type[Hall]) -> None:
    hall = halls(1)
    a, b = hall.state("a"), hall.state("b")
    permit = hall.ask(a)
    left, told, other = hall.wait(a), hall.wait(a), hall.wait(a, b)
    hall.admission.leave(left, hall.now)
    a.gone = GoneError("401: the key is wrong")
    hall.give_back(permit)
    assert isinstance(told.error, NoRouteError)
    assert "401: the key is wrong" in str(told.error)
    assert (left.error, other.error) == (None, None)
    assert other.permit is not None
    assert other.permit.state is b


def test_who_leaves_is_passed_over(halls: type[Hall]) -> None:
    hall = halls(1)
    a = hall.state("a")
    permit = hall.ask(a)
    waiters = [hall.wait(a) for _ in range(4)]
    for waiter in (waiters[0], waiters[2]):
        hall.admission.leave(waiter, hall.now)
        hall.admission.leave(waiter, hall.now)
    assert a.waiting == 2
    hall.give_back(permit)
    hall.give_back(waiters[1].permit)
    hall.give_back(waiters[3].permit)
    assert hall.notes.delivered == [waiters[1], waiters[3]]
    assert isinstance(hall.ask(a), Permit)


def test_the_head_that_leaves_lets_the_next_one_pass_at_once(halls: type[Hall]) -> None:
    hall = halls()
    a = hall.state("a", tokens_per_minute=60_000)
    hall.ask(a, tokens=50_000)
    hall.now += 51 * SECOND
    large, small = hall.wait(a, tokens=20_000), hall.wait(a, tokens=100)
    hall.admission.leave(large, hall.now)
    assert small.permit is not None


def test_a_fork_forgets_who_waited(halls: type[Hall]) -> None:
    hall = halls(1)
    a = hall.state("a")
    permit = hall.ask(a)
    waiter = hall.wait(a)
    hall.admission.reset()
    a.forget_flights()
    assert isinstance(hall.ask(a), Permit)
    assert waiter.permit is None
    assert isinstance(permit, Permit)


def test_routes_too_small_for_a_prompt_are_left_out(halls: type[Hall]) -> None:
    hall = halls()
    small, large = hall.state("s", tokens_per_minute=10), hall.state("l", tokens_per_minute=20)
    both = (small, large)
    assert fitting(both, 10) is both
    assert fitting(both, 11) == (large,)
    assert fitting((hall.state("free"), small), 99)[0].route.id == "openai/free"
    with pytest.raises(TooLargeError, match="21 tokens and the limit is 20"):
        fitting(both, 21)


class Counted(RouteState):
    """A route that counts how often it is asked for room."""

    asked = 0

    def wait(self, now: int, cost: Cost) -> int:
        self.asked += 1
        return super().wait(now, cost)


@pytest.mark.parametrize("waiters", [100, 10_000])
def test_those_who_wait_cost_nothing(halls: type[Hall], waiters: int) -> None:
    hall = halls(100)
    model = Model(id="openai/a", max_concurrent_requests=100)
    a = Counted(route(model, Place(base_url=NOWHERE)), hall.client)
    out: list[Permit | Waiter] = [hall.ask(a) for _ in range(100)]
    out += [hall.wait(a) for _ in range(waiters)]
    for each in out:
        hall.give_back(each if isinstance(each, Permit) else each.permit)
    assert len(hall.notes.delivered) == waiters
    # Once when it asks, once when it is granted, once for the next one that finds no room.
    assert a.asked <= 3 * (100 + waiters)
    # Nobody set a timer while there was nothing to wait for but others.
    assert not hall.notes.armed


def test_two_loops_in_two_threads_share_one_slot() -> None:
    """On real loops: each grant wakes a waiter in the loop of its own."""

    def outcome(context: RequestContext, route: Route, n: int) -> float:
        del context, route, n
        with lock:
            seen.append(script.in_flight)
        return 0.0

    lock, seen = threading.Lock(), list[int]()
    script = Script(outcome)
    catalog = Catalog({"openai_chat": scripted(script)})
    client = LLMClient("openai/m", base_url=NOWHERE, catalog=catalog, max_concurrent_requests=1)

    async def main(name: str) -> int:
        rows = await client.process_prompts_async([name] * 200, show_progress=False)
        return len(rows.succeeded)

    done: list[int] = []
    threads = [
        threading.Thread(target=lambda n=name: done.append(asyncio.run(main(n)))) for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [200, 200]
    assert set(seen) == {1}


# Everything at once: a client whose provider answers when the machine says so.

SLOTS: Final = 3
