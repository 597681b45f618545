"""Orders of routes as a state machine: nobody is sent lower than needed, nor waits needlessly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace import Model
from headrace.core.errors import GoneError
from headrace.engine.admission import Admission, Permit, Waiter
from headrace.engine.limits import Scope
from headrace.engine.order import Order, interchangeable
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import Concurrency
from headrace.policy.buckets import SECOND
from headrace.policy.cost import ONE
from headrace.registry.resolve import Place, route

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

PLACE: Final = Place(base_url="http://127.0.0.1:1/v1")


class Everything(RuleBasedStateMachine):
    """Requests with all kinds of orders, and routes that fill, park, open, close and go."""

    one_account = False

    def __init__(self) -> None:
        super().__init__()
        client = Scope("client", concurrency=Concurrency(1_000_000), limits={})

        def made(name: str, beside: RouteState | None = None, **row: Any) -> RouteState:
            model = Model(id=f"openai/{name}", max_concurrent_requests=2, **row)
            return RouteState(route(model, PLACE), client, beside=beside)

        a = made("a")
        beside = a if self.one_account else None
        b, c = made("b", beside), made("c", beside, priority=2)
        self.states = [a, b, c]
        plain = interchangeable((a, b, c))
        self.orders = [
            plain,
            Order((((a,), (b,)), ((c,),))),  # drawn, and spills
            Order((((b,), (a,)), ((c,),))),
            Order((((a,),), ((b,),), ((c,),))),  # drawn, and does not
            plain.last((a,), ()),  # has failed on one
            plain.last((a, b, c), (a,)),  # on all, and one is closed to it
            plain.favouring("like this"),
            interchangeable((a,)),
            interchangeable((b,)),
            interchangeable((c,)),
        ]
        self.admission = Admission()
        self.loop = asyncio.new_event_loop()
        self.now = 1_000 * SECOND
        self.waiting: list[Waiter] = []
        self.permits: list[Permit] = []

    # What the admission sees of an event loop.

    def deliver(self, waiter: Waiter) -> bool:
        self.waiting.remove(waiter)
        if waiter.permit is not None:
            self.check_granted(waiter.order, waiter.permit)
            self.permits.append(waiter.permit)
        else:
            assert all(state.gone is not None for state in waiter.order.lanes)
        return True

    def arm(self, wait: int) -> bool:
        assert wait > 0
        return True

    def check_granted(self, order: Order, permit: Permit) -> None:
        """Of the ranks before that of its route none has a route that is well."""
        for rank in order.ranks:
            members = [state for group in rank for state in group]
            if permit.state in members:
                return
            assert not any(state.is_well(self.now) for state in members)
        raise AssertionError("granted a route that was not asked for")

    @rule(which=st.integers(0, 9), count=st.integers(1, 3))
    def ask(self, which: int, count: int) -> None:
        order = self.orders[which]
        for _ in range(count):
            permit = self.admission.try_admit(order, ONE, self.now)
            if permit is not None:
                self.check_granted(order, permit)
                self.permits.append(permit)
                continue
            future: asyncio.Future[Permit] = self.loop.create_future()
            waiter = Waiter(order, ONE, self.admission.number(), future, self)
            self.waiting.append(waiter)
            self.admission.enqueue(waiter, self.now)

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), works=st.booleans())
    def one_is_back(self, data: st.DataObject, works: bool) -> None:
        permit = data.draw(st.sampled_from(self.permits))
        self.permits.remove(permit)
        if works:
            permit.state.breaker.succeed()
            permit.leave(self.now, None)
        else:
            permit.withdraw(self.now)
        self.admission.pump(self.now)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_leaves(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(waiter)
        self.admission.leave(waiter, self.now)

    @rule(which=st.integers(0, 2), seconds=st.integers(1, 20))
    def one_is_parked(self, which: int, seconds: int) -> None:
        self.states[which].account.parked_until = self.now + seconds * SECOND
        self.admission.pump(self.now)

    @rule(which=st.integers(0, 2), seconds=st.integers(1, 20))
    def one_opens(self, which: int, seconds: int) -> None:
        self.states[which].breaker.trip(self.now, seconds)
        self.admission.pump(self.now)

    @rule(which=st.integers(0, 2), is_gone=st.booleans())
    def one_goes_or_is_reset(self, which: int, is_gone: bool) -> None:
        if is_gone:
            self.states[which].gone = GoneError("401")
        else:
            self.states[which].reset()
        self.admission.pump(self.now)

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.admission.pump(self.now)

    @invariant()
    def nobody_waits_who_could_go(self) -> None:
        """In their turn: what one waits for is held against all who came later."""
        held: set[RouteState] = set()
        for waiter in sorted(self.waiting, key=lambda each: each.number):
            for state in self.within_reach(waiter.order):
                assert state in held or state.wait(self.now, ONE) > 0
            for state in self.within_reach(waiter.order):
                # A route that is not open waits for nothing that others use up.
                held.update(state.account.routes if state.is_open else [state])

    def within_reach(self, order: Order) -> Iterator[RouteState]:
        """The routes of the first rank with one that is well, and of all before it."""
        for rank in order.ranks:
            members = [state for group in rank for state in group]
            yield from members
            if any(state.is_well(self.now) for state in members):
                return

    @invariant()
    def who_waits_is_counted(self) -> None:
        for state in self.states:
            assert state.waiting == sum(state in each.order.lanes for each in self.waiting)
            assert state.in_flight == sum(each.state is state for each in self.permits)
            own, account = state.own, state.account
            assert own.in_flight == sum(each.state.own is own for each in self.permits) <= 2
            assert account.waiting == sum(each.waiting for each in account.routes)

    def teardown(self) -> None:
        """When all is well again, everybody has a turn."""
        for state in self.states:
            state.reset()
        self.admission.pump(self.now)
        while self.permits:
            self.permits.pop().leave(self.now, None)
            self.admission.pump(self.now)
        self.loop.close()
        assert not self.waiting


class OneAccount(Everything):
    """The same, where the routes have one account, so that each uses up what all have."""

    one_account = True


Everything.TestCase.settings = settings(stateful_step_count=40, max_examples=200)
OneAccount.TestCase.settings = settings(stateful_step_count=40, max_examples=200)
TestEverything = Everything.TestCase
TestOneAccount = OneAccount.TestCase
