"""The breaker as a state machine, beside a model of it, and what its settings refuse."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from headrace import BreakerSettings, ConfigError
from headrace.core.errors import (
    ConnectionLostError,
    NotSentError,
    OverloadedError,
    PageError,
    ProviderError,
    RateLimitError,
    RejectedError,
    ReplyError,
)
from headrace.policy.breaker import NEVER, Breaker, State
from headrace.policy.buckets import SECOND

pytestmark = pytest.mark.once

chances = st.floats(0, 1, exclude_max=True)


class Machine(RuleBasedStateMachine):
    """Requests come and go; the breaker must say what the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.settings = BreakerSettings()
        self.now = 0
        self.failed = 0
        self.breaks = 0
        self.state = "closed"
        self.until = 0
        self.probes = 0
        self.by_hand = False

    @initialize(
        failures=st.integers(1, 8),
        first=st.integers(1, 20),
        more=st.integers(0, 60),
        probes=st.integers(1, 3),
    )
    def it_is_made(self, failures: int, first: int, more: int, probes: int) -> None:
        self.settings = BreakerSettings(
            failures=failures, first_break=first, longest_break=first + more, probes=probes
        )
        self.breaker = Breaker(self.settings)

    @rule(step=st.integers(0, 15 * SECOND))
    def time_passes(self, step: int) -> None:
        self.now += step

    @precondition(lambda self: self.state == "closed")
    @rule(times=st.integers(2, 8))
    def it_fails_in_a_row(self, times: int) -> None:
        for _ in range(times):
            self.it_fails(0.5)

    @precondition(lambda self: self.state == "open" and self.until < NEVER)
    @rule()
    def the_break_is_over(self) -> None:
        self.now = max(self.now, self.until)
        self.one_is_let_through()

    @rule()
    def it_works(self) -> None:
        changes = self.state != "closed" and not self.by_hand
        assert self.breaker.succeed() is changes
        if not self.by_hand:
            self.it_is_closed()

    def it_is_closed(self) -> None:
        self.state, self.failed, self.breaks, self.probes, self.by_hand = "closed", 0, 0, 0, False

    @rule(chance=chances)
    def one_fails(self, chance: float) -> None:
        self.it_fails(chance)

    def it_fails(self, chance: float) -> None:
        said = self.breaker.fail(self.now, chance)
        if self.by_hand:
            assert not said
            return
        self.failed += 1
        many = self.state == "closed" and self.failed >= self.settings.failures
        opens = self.state == "half-open" or many
        assert said is (opens or self.state == "open")
        if opens:
            self.breaks += 1
            self.state, self.probes = "open", 0
            wait = self.breaker.wait(self.now)
            first, longest = self.settings.first_break, self.settings.longest_break
            whole = min(first * 2 ** (self.breaks - 1), longest) * SECOND
            assert 0.75 * whole - 1 <= wait <= whole
            self.until = self.now + wait

    @precondition(lambda self: self.breaker.wait(self.now) == 0)
    @rule()
    def one_passes(self) -> None:
        self.one_is_let_through()

    def one_is_let_through(self) -> None:
        self.breaker.pass_through()
        if self.state != "closed":
            self.state, self.probes, self.by_hand = "half-open", self.probes + 1, False

    @rule()
    def it_is_given_back(self) -> None:
        self.breaker.give_back(self.now)
        if self.state == "half-open":
            self.probes -= 1
            if not self.probes:
                self.state, self.until = "open", self.now

    @rule(seconds=st.none() | st.integers(1, 100))
    def it_is_tripped(self, seconds: int | None) -> None:
        self.breaker.trip(self.now, seconds)
        self.state, self.probes, self.by_hand = "open", 0, True
        self.until = NEVER if seconds is None else self.now + seconds * SECOND

    @rule()
    def it_is_reset(self) -> None:
        self.breaker.reset()
        self.it_is_closed()

    @rule()
    def its_process_forks(self) -> None:
        self.breaker.forget_probes()
        if self.state == "half-open":
            self.state, self.until, self.probes = "open", 0, 0

    @invariant()
    def it_says_what_the_model_says(self) -> None:
        assert self.breaker.state is State(self.state)
        assert self.breaker.breaks == self.breaks
        opens = NEVER if self.until == NEVER else max(0, self.until - self.now)
        probes = 0 if self.probes < self.settings.probes else NEVER
        waits = {"closed": 0, "half-open": probes, "open": opens}
        assert self.breaker.wait(self.now) == waits[self.state]


TestBreaker = Machine.TestCase


def test_a_probe_without_an_outcome_makes_room_for_the_next() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.fail(0, 0.0)
    breaker.pass_through()
    assert breaker.wait(SECOND) == NEVER
    breaker.give_back(SECOND)
    assert breaker.state is State.OPEN
    assert breaker.wait(SECOND) == 0


def test_a_long_outage_is_probed_about_every_seven_seconds() -> None:
    breaker, now, probes = Breaker(), 0, 0
    for _ in range(5):
        breaker.fail(now, 0.5)
    while now < 600 * SECOND:
        now += breaker.wait(now)
        breaker.pass_through()
        assert breaker.wait(now) == NEVER
        breaker.fail(now, 0.5)
        probes += 1
    assert 83 <= probes <= 95


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"failures": 0}, "failures: it must be 1 or more, not 0"),
        ({"failures": -1}, "failures: it must be 1 or more"),
        ({"failures": 2.5}, "failures: it must be a whole number"),
        ({"probes": 0}, "probes: it must be 1 or more"),
        ({"first_break": 0}, "first_break: it must be above 0"),
        ({"first_break": math.nan}, "first_break: it must be a finite number"),
        ({"longest_break": -3}, "longest_break: it must be above 0"),
        ({"longest_break": math.inf}, "longest_break: it must be"),
        ({"first_break": 60}, r"longest_break \(8 s\) must not be below first_break \(60 s\)"),
        ({"counts": ()}, "counts"),
        ({"counts": [RateLimitError]}, "RateLimitError never counts; name some of not_sent,"),
        ({"counts": [RejectedError]}, "RejectedError never counts"),
        ({"counts": "cancelled"}, "'cancelled' never counts"),
        ({"counts": [ProviderError]}, "ProviderError never counts"),
        ({"counts": 7}, "7 never counts"),
        ({"threshold": 5}, "threshold: there is no such field"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"BreakerSettings: .*{says}"):
        BreakerSettings(**settings)


def test_settings_are_values() -> None:
    given: Any = ["overloaded", ConnectionLostError]
    settings = BreakerSettings(failures=2, counts=given)
    assert settings.counts == (OverloadedError, ConnectionLostError)
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(ValueError, match="frozen"):
        settings.failures = 3


@pytest.mark.parametrize(
    ("error", "usually", "chosen"),
    [
        (NotSentError("no"), True, False),
        (OverloadedError("no"), True, True),
        (PageError("no"), True, True),
        (ReplyError("no"), False, True),
        (RateLimitError("no"), False, False),
        (RejectedError("no"), False, False),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_which_errors_count(error: ProviderError, usually: bool, chosen: bool) -> None:
    settings = BreakerSettings(counts=(OverloadedError, ReplyError))
    assert Breaker().counts(error) is usually
    assert Breaker(settings).counts(error) is chosen
