"""What a refusal for load does to its route: fewer in a minute, or fewer at once.

Synchronous; called with admission's lock held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import RateLimitError
from headrace.policy.adaptive import USED
from headrace.policy.silence import ACCEPTED, SLOWER

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError
    from headrace.engine.admission import Permit
    from headrace.engine.scope import RouteState


def refuse(permit: Permit, error: ProviderError, now: int, *, is_again: bool = False) -> None:
    """The server refused for load: fewer at once, or fewer in a minute, whichever it may be.

    ``is_again``: nobody else was refused since this prompt was, so that it may be for itself.
    """
    state, account = permit.state, permit.state.account
    account.doubt.refuse(permit.number)
    if permit.admitted_at > account.stormed_at:
        account.stormed_at = now
        if account.before_storm is None or account.refused_anew_at >= permit.admitted_at:
            rate, slots = account.found.rate or float("inf"), state.own.concurrency
            account.before_storm = (now, rate, slots.limit)
        if not _is_of_use(state, now):
            return
    elif account.doubt.is_sure:
        return
    if not is_again:
        _throttle(permit, error, now)


def is_calm(permit: Permit, now: int) -> bool:
    """Was something accepted that was sent since the last storm?"""
    account, took = permit.state.account, now - permit.admitted_at
    return account.silence.has_accepted(account.storm, now - max(ACCEPTED, SLOWER * took))


def take_back(permit: Permit, now: int) -> None:
    """A prompt is refused for itself: where the storms were of such alone, all is as before them.

    They were where nobody has been refused since who had not been before.
    """
    account = permit.state.account
    since, rate, most = account.before_storm or (0, 0.0, 0)
    if since > account.refused_anew_at and is_calm(permit, now):
        account.before_storm = None
        account.found.restore(now, rate)
        permit.state.own.concurrency.restore(now, most)


def _is_of_use(state: RouteState, now: int) -> bool:
    """Is it, to send less? Where it was not, all is as it was before."""
    account, slots = state.account, state.own.concurrency
    doubt, found = account.doubt, account.found
    was_sure, rate = doubt.is_sure, found.rate or float("inf")
    if doubt.storm(now, account.silence.sent, rate, slots.limit):
        return True
    if not was_sure:
        rate, most = doubt.before
        found.restore(now, rate)
        slots.restore(now, most)
    return False


def _was_kept(permit: Permit, now: int) -> bool:
    """Was a limit met and kept, so that it was the way of requests to the server?

    One storm widens all that were met, since nobody knows which of them it was.
    """
    at = permit.admitted_at
    return sum(limit.doubt(now, at) for _, limit in permit.state.limits) > 0


def _throttle(permit: Permit, error: ProviderError, now: int) -> None:
    state, slots = permit.state, permit.state.own.concurrency
    account = state.account
    is_rate = isinstance(error, RateLimitError)
    was_full = state.own.in_flight >= slots.limit * USED
    # Where so many at once were refused before, it is that again.
    crowd = min(permit.crowd, state.own.in_flight)
    is_crowd = was_full and slots.has_met(crowd)
    if is_rate and account.hearing is not None:
        account.hearing.refuse()
    if is_rate and account.throttles == 1 and _was_kept(permit, now):
        return
    if is_rate and not state.is_told and (not is_crowd or slots.limit == 1):
        is_full = account.waiting > 0
        account.found.refuse(now, permit.admitted_at, account.throttles, is_full=is_full)
    if account.throttles > 1 and not is_crowd:
        slots.shrink()
    elif was_full:
        # What waits for the end of a long quiet comes out as a herd; a lone failure is no storm.
        is_gentle = bool(error.hint) if is_rate else not account.doubt.is_rare
        slots.throttle(now, permit.admitted_at, crowd, gently=is_gentle)
