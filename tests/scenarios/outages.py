"""What the scenarios of trouble share: many prompts, and the rules by which they fail."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from headrace.testing import Failure, VirtualClock, running_clock
from headrace.testing.provider import prompt_of

if TYPE_CHECKING:
    from headrace import RequestContext
    from headrace.core.errors import ProviderError
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule

COUNT: Final = 1_000
PROMPTS: Final = [f"p{n}" for n in range(COUNT)]
SECOND: Final = 1_000_000_000
BEGINNING: Final = VirtualClock().now()


def elapsed() -> float:
    """Virtual seconds since the world began, for the rules of its script."""
    return (running_clock().now() - BEGINNING) / SECOND


def between(start: float, end: float, error: ProviderError) -> Rule:
    """``error`` for what is sent between these seconds of the run, else an answer in half one."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        return Failure(error, 0.05) if start < elapsed() < end else 0.5

    return rule


def at(name: str, outcome: Outcome, elsewhere: Outcome = 0.1) -> Rule:
    """``outcome`` for what is sent by the route of this name."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        return outcome if route.id == name else elsewhere

    return rule


def of(prompt: str, outcome: Outcome) -> Rule:
    """``outcome`` for one prompt, and an answer in a tenth of a second for the others."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        return outcome if prompt_of(context) == prompt else 0.1

    return rule


def now_and_then(share: float, *failures: Outcome, latency: float = 0.1, seed: int = 3) -> Rule:
    """One of ``failures`` for this share of all sends; the same ones each time."""
    dice = random.Random(seed)

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        return dice.choice(failures) if dice.random() < share else latency

    return rule
