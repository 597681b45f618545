"""What the scenarios of trouble share: many prompts, and routes that fail for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.testing import Failure, VirtualClock, running_clock

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
