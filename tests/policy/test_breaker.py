"""The breaker as a state machine, beside a model of twenty lines."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.policy.breaker import LONGEST_BREAK, NEVER, THRESHOLD, Breaker, State
from headrace.policy.buckets import SECOND

pytestmark = pytest.mark.once

chances = st.floats(0, 1, exclude_max=True)


class Machine(RuleBasedStateMachine):
    """Requests come and go; the breaker must say what the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 0
        self.failed = 0
        self.breaks = 0
        self.state = "closed"
        self.until = 0

    @rule(step=st.integers(0, 15 * SECOND))
    def time_passes(self, step: int) -> None:
        self.now += step

    @precondition(lambda self: self.state == "closed")
    @rule(times=st.integers(2, THRESHOLD))
    def it_fails_in_a_row(self, times: int) -> None:
        for _ in range(times):
            self.it_fails(0.5)

    @precondition(lambda self: self.state == "open")
    @rule()
    def the_break_is_over(self) -> None:
        self.now = max(self.now, self.until)
        self.one_is_let_through()

    @rule()
    def it_works(self) -> None:
        assert self.breaker.succeed() is (self.state != "closed")
        self.state, self.failed, self.breaks = "closed", 0, 0

    @rule(chance=chances)
    def one_fails(self, chance: float) -> None:
        self.it_fails(chance)

    def it_fails(self, chance: float) -> None:
        self.failed += 1
        opens = self.state == "probing" or (self.state == "closed" and self.failed >= THRESHOLD)
        said = self.breaker.fail(self.now, chance)
        assert said is (opens or self.state == "open")
        if opens:
            self.breaks += 1
            self.state = "open"
            wait = self.breaker.wait(self.now)
            whole = min(2 ** (self.breaks - 1) * SECOND, LONGEST_BREAK)
            assert 0.75 * whole <= wait <= 1.25 * whole
            self.until = self.now + wait

    @precondition(lambda self: self.breaker.wait(self.now) == 0)
    @rule()
    def one_passes(self) -> None:
        self.one_is_let_through()

    def one_is_let_through(self) -> None:
        self.breaker.pass_through()
        self.state = "probing" if self.state == "open" else self.state

    @rule()
    def it_is_given_back(self) -> None:
        self.breaker.give_back(self.now)
        if self.state == "probing":
            self.state, self.until = "open", self.now

    @invariant()
    def it_says_what_the_model_says(self) -> None:
        assert self.breaker.state is State(self.state)
        assert self.breaker.breaks == self.breaks
        waits = {"closed": 0, "probing": NEVER, "open": max(0, self.until - self.now)}
        assert self.breaker.wait(self.now) == waits[self.state]


TestBreaker = Machine.TestCase


def test_a_probe_without_an_outcome_makes_room_for_the_next() -> None:
    breaker = Breaker()
    for _ in range(THRESHOLD):
        breaker.fail(0, 0.0)
    breaker.pass_through()
    assert breaker.wait(SECOND) == NEVER
    breaker.give_back(SECOND)
    assert breaker.state is State.OPEN
    assert breaker.wait(SECOND) == 0


def test_a_long_outage_is_probed_about_every_ten_seconds() -> None:
    breaker, now, probes = Breaker(), 0, 0
    for _ in range(THRESHOLD):
        breaker.fail(now, 0.5)
    while now < 600 * SECOND:
        now += breaker.wait(now)
        breaker.pass_through()
        assert breaker.wait(now) == NEVER
        breaker.fail(now, 0.5)
        probes += 1
    assert 58 <= probes <= 70
