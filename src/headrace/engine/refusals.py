"""Is a refusal (429) for the load of its route, or is it the prompt that is refused?

Some servers throttle for ever what is too large or too dear for an account, while they answer all
others. One refusal does not show it, and parks its route. The next one does, where others have
been sent meanwhile, were answered, and none of them was refused: then the prompt stands *apart*.
It waits alone, nobody else waits for it, and nothing is learned from it about what the route bears;
what the first one has taught is taken back. It is given up when it has been refused for
``patience``, and often.

At the end of a run nobody may be left who could show it. A route that gives nothing any more is
closed after ``patience``; but where it has answered, and only few are left, these fail instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.core.errors import RateLimitError
from headrace.engine import throttling
from headrace.policy.buckets import SECOND
from headrace.policy.silence import SLOWER

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError
    from headrace.engine.admission import Permit
    from headrace.engine.course import Course
    from headrace.engine.scope import RouteState

# So many that are left are not worth a run that never comes to its end.
FEW: Final = 64
# Refused so often while others were answered, a prompt says nothing of how much its route bears.
ALONE: Final = 2
# After so many refusals of its own a prompt may be given up, when its patience is over.
HOPELESS: Final = 8


class Refusal(NamedTuple):
    """What an error says beside itself.

    ``is_again``: nobody but this prompt was refused since it was itself. ``are_few``: it is one of
    the last of those that wait.
    """

    is_apart: bool = False
    is_again: bool = False
    are_few: bool = False


# It was no refusal.
NONE: Final = Refusal()


def is_apart(course: Course, permit: Permit, now: int) -> bool:
    """Is a refusal now its own? Lock held.

    It is where it was refused before, nobody was since who had not been, and what was sent since
    anybody was refused was answered, or at least not refused: at a limit one follows another.
    """
    if course.singled_out > ALONE:
        return True
    account, took = permit.state.account, now - permit.admitted_at
    if course.refused_by is not permit.state or account.refused_anew_at >= course.refused_at:
        return False
    is_answered = account.refused_at < account.borne_at
    return is_answered or account.silence.has_accepted(account.refused, now - SLOWER * took)


def judge(
    course: Course, permit: Permit, error: ProviderError, now: int, *, is_fed: bool
) -> Refusal:
    """See above; lock held. ``is_fed``: there are prompts yet that nobody has drawn."""
    state, account = permit.state, permit.state.account
    if not isinstance(error, RateLimitError):
        account.silence.lose()
        return NONE
    is_end = not is_fed and not course.may_move and state.waiting < FEW
    are_few = is_end and bool(state.last_good)
    is_again = course.refused_by is state and account.refused_anew_at < course.refused_at
    found = Refusal(is_apart(course, permit, now), is_again, are_few)
    if found.is_apart:
        throttling.take_back(permit, now)
    account.silence.lose()
    account.refused_at, account.refused = now, account.silence.moment
    if not course.refused_since:
        account.refused_anew_at = max(account.refused_anew_at, permit.admitted_at)
    return found


def is_over(
    refusal: Refusal,
    course: Course,
    state: RouteState,
    error: ProviderError,
    *,
    now: int,
    most: int,
) -> bool:
    """Is this prompt to be given up, alone? ``most``: its patience, in nanoseconds."""
    if refusal.is_apart and (error.hint or 0.0) * SECOND > most:
        return True
    if refusal.is_apart:
        # Where nobody has been answered for as long, nothing more can be shown.
        shown = 0 if course.singled_out >= HOPELESS else state.last_good
        return now - max(course.refused_since, shown) > most
    since = state.troubled_since if refusal.are_few else None
    return since is not None and now - since > most
