"""What an outcome does to its route: quiet, a breaker, fewer slots, or the end of the route.

Synchronous; called with admission's lock held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import (
    ConnectionLostError,
    GoneError,
    NotSentError,
    OutcomeUnknownError,
    OverloadedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ReplyError,
)
from headrace.engine import throttling
from headrace.engine.refusals import FEW, NONE
from headrace.policy import retry
from headrace.policy.breaker import State
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from headrace.engine.account import Account
    from headrace.engine.admission import Permit
    from headrace.engine.refusals import Refusal
    from headrace.engine.scope import RouteState

# A route that never gave one answer is not waited for beyond this many breaks.
BREAKS_WITHOUT_ANSWER: Final = 5
# So long a server's own failures (500) are taken for its trouble, though hardly a prompt is left
# that it has not failed at; then these use up their attempts.
LONG_ENOUGH: Final = 120 * SECOND
_CLOSED_TO_US: Final = (GoneError, QuotaError)
# Too much load; a 500 says nothing of the kind.
_LOAD: Final = frozenset({503, 529})
FAILED: Final = 500
_NO_WORD: Final = (NotSentError, OutcomeUnknownError)
# At a server that never said a word: nobody has worked on it.
_NEVER_CAME: Final = (NotSentError, ConnectionLostError)


def succeed(permit: Permit, now: int, size: int = 0) -> bool:
    """The route answered with ``size`` tokens of output; True when that closed its breaker."""
    state, account = permit.state, permit.state.account
    state.answered = True
    state.last_good = now
    account.borne_at = max(account.borne_at, permit.admitted_at)
    # What was sent with others that were refused shows as well that the route is not shut.
    since = account.parked_at if account.throttles == 1 else account.parked_before
    if account.throttles and permit.admitted_at > since:
        _calm_down(account, now)
    state.troubled_since = None
    latency = now - permit.admitted_at
    in_flight = state.own.in_flight + permit.is_over
    state.own.concurrency.succeed(
        now, in_flight, latency, size, permit.crowd, number=permit.number, sent=account.silence.sent
    )
    return state.breaker.succeed()


def fail(
    permit: Permit,
    error: ProviderError,
    now: int,
    chance: float,
    patience: int,
    *,
    is_fed: bool,
    refusal: Refusal = NONE,
) -> bool:
    """An attempt failed; True when it should cost its prompt no attempt.

    ``is_fed``: there are prompts yet that nobody has drawn. ``refusal``: what kind it was,
    where it was one.
    """
    state = permit.state
    if isinstance(error, _CLOSED_TO_US):
        state.gone = error
        return True
    if not isinstance(error, _NO_WORD):
        state.answered = True
    if not refusal.is_apart and (isinstance(error, RateLimitError) or error.hint):
        park(permit, error.hint, now, chance)
    if not refusal.is_apart and (isinstance(error, RateLimitError) or error.status in _LOAD):
        throttling.refuse(permit, error, now, is_again=refusal.is_again)
    forgiven = isinstance(error, RateLimitError)
    if state.breaker.counts(error):
        forgiven = _count(permit, error, now, chance, is_fed=is_fed) or forgiven
    elif not (error.trips_breaker or isinstance(error, RateLimitError | ReplyError)):
        state.breaker.succeed()
        state.troubled_since = None
    else:
        give_back(permit, now)
    if error.trips_breaker or forgiven:
        _lose_patience(state, error, now, patience, refusal)
    return forgiven


def give_back(permit: Permit, now: int) -> None:
    """An attempt ended and says nothing of its route; was it the probe, the next one may try."""
    if permit.is_probe:
        permit.state.breaker.give_back(now)


def park(permit: Permit, hint: float | None, now: int, chance: float) -> bool:
    """The server asked for quiet: once for each attempt, and once for each storm without a hint.

    A body that asks for more than the head did, which came first, is heard, too; and what a server
    asks for takes the place of what was guessed in the same storm, be it less. Where refusals are
    known to come by chance, none is guessed.
    """
    account, asked = permit.state.account, hint or 0.0
    is_heard = permit.quiet is not None and asked <= permit.quiet
    if is_heard or (not asked and account.doubt.is_sure):
        return False
    permit.quiet = asked
    is_told_better = asked > 0 and account.is_guessed
    if permit.admitted_at > account.parked_at:
        if account.throttles and throttling.is_calm(permit, now):
            _calm_down(account, now)
        account.throttles += 1
        account.storm = account.silence.moment
        account.parked_before, account.parked_at = account.parked_at, now
        is_told_better = False
    until = now + retry.park(hint, account.throttles, chance)
    if until <= account.parked_until and not is_told_better:
        return False
    account.parked_until, account.is_guessed = until, not asked
    return True


def _calm_down(account: Account, now: int) -> None:
    """The storm is over: something was taken since."""
    account.throttles = 0
    account.found.succeed(now)


def _may_be_the_prompt(error: ProviderError) -> bool:
    """Did the server fail at its work, as it may do at one prompt for ever?"""
    return isinstance(error, OverloadedError) and error.status == FAILED


def _count(permit: Permit, error: ProviderError, now: int, chance: float, *, is_fed: bool) -> bool:
    """Let the breaker count; a failure is forgiven when a route that has worked is in trouble.

    So is that of a probe, which its prompt was taken for.
    """
    state = permit.state
    if _may_be_the_prompt(error):
        if not is_fed and state.fresh < FEW and _has_had_time(state, now):
            # Hardly anybody is left to be spared, or who could show that it works.
            state.breaker.succeed()
            return False
        is_hopeless = is_fed or state.fresh >= FEW
    else:
        is_hopeless = True
    was_open = state.breaker.state is not State.CLOSED
    is_open = state.breaker.fail(now, chance)
    # What others in flight there come back with is still open: a slow server may answer them.
    if is_open and not state.answered and state.in_flight <= 1:
        state.gone = GoneError(f"{error} (it never answered)")
    elif is_open and not state.last_good and is_hopeless and _has_had_breaks(state):
        state.gone = GoneError(f"{error} (it answered with nothing but errors)")
    never_came = isinstance(error, _NEVER_CAME) and not state.answered
    return never_came or permit.is_probe or ((was_open or is_open) and bool(state.last_good))


def _has_had_time(state: RouteState, now: int) -> bool:
    """A route that has worked may be in trouble for a while; one that has not gets none."""
    since = state.troubled_since
    return not state.last_good or (since is not None and now - since > LONG_ENOUGH)


def _has_had_breaks(state: RouteState) -> bool:
    return state.breaker.breaks >= BREAKS_WITHOUT_ANSWER


def _lose_patience(
    state: RouteState, error: ProviderError, now: int, patience: int, refusal: Refusal
) -> None:
    """A route that gives nothing for ``patience``, or says it will not, is gone.

    Not where few are left: each of them is given up by itself.
    """
    if refusal.is_apart:
        return
    if state.troubled_since is None:
        state.troubled_since = now
    is_shut = state.breaker.state is not State.CLOSED or isinstance(error, RateLimitError)
    is_over = is_shut and not refusal.are_few and now - state.troubled_since > patience
    if is_over or (error.hint or 0) * SECOND > patience:
        said = f"{error} ({state.route.id} gives nothing for longer than"
        state.gone = GoneError(f"{said} patience={patience / SECOND:g} s)")
