"""How routes stand: told, and changed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.status import RouteStatus
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.engine.outcomes import Outcomes
    from headrace.engine.scope import RouteState


def of(outcomes: Outcomes, states: Iterable[RouteState]) -> list[RouteStatus]:
    """How each of them stands, all at one moment."""
    now = outcomes.clock.now()
    with outcomes.admission.lock:
        return [_status(state, now) for state in states]


def trip(outcomes: Outcomes, state: RouteState, seconds: float | None) -> None:
    """Open its breaker: for so long, or (None) until it is reset."""
    now = outcomes.clock.now()
    with outcomes.admission.lock:
        state.breaker.trip(now, seconds)
        outcomes.admission.pump(now)
    outcomes.tell_standing(state)


def reset(outcomes: Outcomes, state: RouteState) -> None:
    """Hold nothing against it any more."""
    with outcomes.admission.lock:
        state.reset()
        standing = state.standing
        outcomes.admission.pump(outcomes.clock.now())
    outcomes.tell_standing(state, standing)


def _status(state: RouteState, now: int) -> RouteStatus:
    tally, own = state.tally, state.own
    is_unknown = tally.unpriced and not tally.cost_nanos
    return RouteStatus(
        route=state.route.id,
        model=state.route.model.id,
        priority=state.route.model.priority,
        state=state.standing,
        gone=None if state.gone is None else str(state.gone),
        in_flight=own.in_flight,
        concurrency=own.concurrency.limit,
        waiting=state.waiting,
        parked=max(0, state.parked_until - now) / SECOND,
        succeeded=tally.succeeded,
        failed=tally.failed,
        rate_limited=tally.rate_limited,
        usage=tally.usage,
        cost=None if is_unknown else tally.cost_nanos / 1e9,
        latency_p50=_seconds(tally.latency(0.5)),
        latency_p95=_seconds(tally.latency(0.95)),
    )


def _seconds(nanos: int | None) -> float | None:
    return None if nanos is None else nanos / SECOND
