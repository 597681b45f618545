"""What a refusal for load does to its route: fewer in a minute, or fewer at once.

Synchronous; called with admission's lock held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import RateLimitError
from headrace.policy.adaptive import START, USED
from headrace.policy.silence import ACCEPTED, SLOWER

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError
    from headrace.engine.admission import Permit
    from headrace.engine.scope import RouteState


def refuse(permit: Permit, error: ProviderError, now: int) -> None:
    """The server refused for load: fewer at once, or fewer in a minute, whichever it may be."""
    state = permit.state
    state.doubt.refuse()
    if permit.admitted_at > state.stormed_at:
        state.stormed_at = now
        if state.before_storm is None or state.refused_anew_at >= permit.admitted_at:
            rate, slots = state.found.rate or float("inf"), state.own.concurrency
            state.before_storm = (now, rate, slots.limit)
        if not _is_of_use(state, now):
            return
    elif state.doubt.is_sure:
        return
    _throttle(permit, error, now)


def is_calm(permit: Permit, now: int) -> bool:
    """Was something accepted that was sent since the last storm?"""
    state, took = permit.state, now - permit.admitted_at
    return state.silence.has_accepted(state.storm, now - max(ACCEPTED, SLOWER * took))


def take_back(permit: Permit, now: int) -> None:
    """A prompt is refused for itself: where the storms were of such alone, all is as before them.

    They were where nobody has been refused since who had not been before.
    """
    state = permit.state
    since, rate, most = state.before_storm or (0, 0.0, 0)
    if since > state.refused_anew_at and is_calm(permit, now):
        state.before_storm = None
        state.found.restore(now, rate)
        state.own.concurrency.restore(now, most)


def _is_of_use(state: RouteState, now: int) -> bool:
    """Is it, to send less? Where it was not, all is as it was before."""
    was_sure, slots = state.doubt.is_sure, state.own.concurrency
    rate = state.found.rate or float("inf")
    if state.doubt.storm(rate, slots.target):
        return True
    if not was_sure:
        rate, most = state.doubt.before
        state.found.restore(now, rate)
        slots.restore(now, min(most, START))
    return False


def _was_kept(permit: Permit, now: int) -> bool:
    """Was a limit met and kept, so that it was the way of requests to the server?

    One storm widens all that were met, since nobody knows which of them it was.
    """
    at = permit.admitted_at
    return sum(limit.doubt(now, at) for _, limit in permit.state.limits) > 0


def _throttle(permit: Permit, error: ProviderError, now: int) -> None:
    state, slots = permit.state, permit.state.own.concurrency
    is_rate = isinstance(error, RateLimitError)
    was_full = state.own.in_flight >= slots.limit * USED
    # Where so many at once were refused before, it is that again.
    crowd = min(permit.crowd, state.own.in_flight)
    is_crowd = was_full and slots.has_met(crowd)
    if is_rate:
        state.hear_refusal()
    if is_rate and state.throttles == 1 and _was_kept(permit, now):
        return
    if is_rate and not state.is_told and (not is_crowd or slots.limit == 1):
        is_full = state.waiting > 0
        state.found.refuse(now, permit.admitted_at, state.throttles, is_full=is_full)
    if state.throttles > 1 and not is_crowd:
        slots.shrink()
    elif was_full:
        is_long = not is_rate or bool(error.hint)
        slots.throttle(now, permit.admitted_at, crowd, gently=is_long)
