"""What a refusal for load does to its route: fewer in a minute, or fewer at once.

Synchronous; called with admission's lock held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import RateLimitError
from headrace.policy.adaptive import USED

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError
    from headrace.engine.admission import Permit
    from headrace.engine.scope import RouteState


def refuse(permit: Permit, error: ProviderError, now: int) -> None:
    """The server refused for load: fewer at once, or fewer in a minute, whichever it may be."""
    state = permit.state
    state.doubt.refuse(permit.number)
    if permit.admitted_at > state.stormed_at:
        state.stormed_at = now
        if not _is_of_use(state, now):
            return
    elif state.doubt.is_sure:
        return
    _throttle(permit, error, now)


def _is_of_use(state: RouteState, now: int) -> bool:
    """Is it, to send less? Where it was not, all is as it was before."""
    was_sure, slots = state.doubt.is_sure, state.own.concurrency
    rate = state.found.rate or float("inf")
    if state.doubt.storm(now, state.sent, rate, slots.limit):
        return True
    if not was_sure:
        rate, most = state.doubt.before
        state.found.restore(now, rate)
        slots.restore(now, most)
    return False


def _throttle(permit: Permit, error: ProviderError, now: int) -> None:
    state, slots = permit.state, permit.state.own.concurrency
    is_rate = isinstance(error, RateLimitError)
    was_full = state.own.in_flight >= slots.limit * USED
    # Where so many at once were refused before, it is that again.
    crowd = min(permit.crowd, state.own.in_flight)
    is_crowd = was_full and slots.has_met(crowd)
    if is_rate:
        state.hear_refusal()
    if is_rate and not state.is_told and (not is_crowd or slots.limit == 1):
        is_full = state.waiting > 0
        state.found.refuse(now, permit.admitted_at, state.throttles, is_full=is_full)
    if state.throttles > 1 and not is_crowd:
        slots.shrink()
    elif was_full:
        # What waits for the end of a long quiet comes out as a herd; a lone failure is no storm.
        is_gentle = bool(error.hint) if is_rate else not state.doubt.is_rare
        slots.throttle(now, permit.admitted_at, crowd, gently=is_gentle)
