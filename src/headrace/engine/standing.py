"""How routes stand: told, and changed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.response import Usage
from headrace.core.status import Binding, RouteStatus, Statistics
from headrace.engine import binding
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.engine.alone import Alone
    from headrace.engine.leasing import Leasing
    from headrace.engine.outcomes import Outcomes
    from headrace.engine.scope import RouteState


def of(outcomes: Outcomes, states: Iterable[RouteState]) -> list[RouteStatus]:
    """How each of them stands, all at one moment."""
    now = outcomes.clock.now()
    with outcomes.admission.lock:
        return [_status(state, now) for state in states]


def statistics(
    outcomes: Outcomes, states: Iterable[RouteState], leasing: Leasing | Alone
) -> Statistics:
    """How all of it stands, at one moment."""
    now, states = outcomes.clock.now(), tuple(states)
    with outcomes.admission.lock:
        routes = tuple(_status(state, now) for state in states)
        lately = [state.tally.lately(now) for state in states]
        bound = _binding(outcomes, leasing, now)
        lines = outcomes.admission.lines()
    cost = sum(status.cost or 0.0 for status in routes)
    is_known = cost or all(status.cost is not None for status in routes)
    abandoned = sum(status.abandoned for status in routes)
    ended = sum(one.succeeded + one.failed + one.rate_limited for one in routes) + abandoned
    in_flight = sum(status.in_flight for status in routes)
    return Statistics(
        in_flight=in_flight,
        # Counted when the lock is free again: a million may stand there.
        waiting=sum(not waiter.gone for line in lines for waiter in line),
        sent=ended + in_flight,
        succeeded=sum(status.succeeded for status in routes),
        failed=sum(status.failed for status in routes),
        rate_limited=sum(status.rate_limited for status in routes),
        usage=sum((status.usage for status in routes), Usage()),
        cost=cost if is_known else None,
        requests_last_minute=sum(requests for requests, _ in lately),
        tokens_last_minute=sum(tokens for _, tokens in lately),
        routes=routes,
        binding=bound,
        hedged=sum(status.hedged for status in routes),
        abandoned=abandoned,
    )


def binding_now(outcomes: Outcomes, leasing: Leasing | Alone) -> tuple[Binding, ...]:
    """What those in line wait for."""
    now = outcomes.clock.now()
    with outcomes.admission.lock:
        return _binding(outcomes, leasing, now)


def _binding(outcomes: Outcomes, leasing: Leasing | Alone, now: int) -> tuple[Binding, ...]:
    said = binding.of(outcomes.admission, now)
    if said and leasing.is_lost:
        return (Binding("shared limits", str(leasing.store), state="cannot be reached"), *said)
    return said


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
        in_flight=state.in_flight,
        concurrency=own.concurrency.limit,
        waiting=state.waiting,
        parked=max(0, state.account.parked_until - now) / SECOND,
        succeeded=tally.succeeded,
        failed=tally.failed,
        rate_limited=tally.rate_limited,
        usage=tally.usage,
        cost=None if is_unknown else tally.cost_nanos / 1e9,
        latency_p50=_seconds(tally.latency(0.5)),
        latency_p95=_seconds(tally.latency(0.95)),
        hedged=tally.hedged,
        abandoned=tally.abandoned,
    )


def _seconds(nanos: int | None) -> float | None:
    return None if nanos is None else nanos / SECOND
