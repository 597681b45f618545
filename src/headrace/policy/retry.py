"""Shall a failed request be tried again, and when? Pure; the caller brings the dice.

Two classes of back-off, after the AWS SDKs' rules of 2026: short for transient failures, long for
throttling; full jitter on both. All retries of a client draw on one budget; an empty budget delays
them and never fails a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.core.errors import InvalidOutputError, NotSentError, RateLimitError
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError

TRANSIENT_BASE: Final = 0.5
THROTTLE_BASE: Final = 1.0
LONGEST: Final = 20.0
LONGEST_PARK: Final = 60.0
# Quiet that no server has asked for: short at first, since one answer more shows that it is over.
PARK_BASE: Final = 0.5
LONGEST_GUESS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after ``wait`` nanoseconds; ``counted`` says whether an attempt was used up."""

    wait: int
    counted: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The error is final."""


Decision: TypeAlias = Retry | GiveUp


def decide(
    error: ProviderError,
    *,
    attempts: int,
    apart: int = 0,
    is_overdue: bool = False,
    max_attempts: int,
    forgiven: bool,
    elsewhere: bool,
    unheard: bool = False,
    chance: float,
) -> Decision:
    """What to do after ``error``, with ``attempts`` used up before it.

    ``forgiven``: the failure costs no attempt (rate limit, a breaker that is open or opening).
    ``elsewhere``: another route is left that has not failed. ``unheard``: this one has not said a
    word yet. A rate limit is waited for with its
    route, however often it comes; that ends when the route has given nothing for longer than
    ``patience``. But some servers throttle what is too large for them, for ever: a prompt that is
    refused again while others are answered waits ``apart`` from them (so many times by now), so
    that it does not park the route for them. Once it ``is_overdue`` it is given up, alone.
    """
    if not (error.repeat_elsewhere and elsewhere) and not error.repeat_here:
        return GiveUp()
    counted = not forgiven
    used = attempts + counted
    if used >= max_attempts:
        return GiveUp()
    if isinstance(error, RateLimitError) and is_overdue:
        return GiveUp()
    if apart:
        longest = min(THROTTLE_BASE * 2 ** min(apart, 10), LONGEST_PARK)
        return Retry(int(max(chance * longest, error.hint or 0.0) * SECOND), counted)
    if isinstance(error, InvalidOutputError):  # nobody is in trouble
        return Retry(0, counted)
    # What never came is no attempt; it waits all the same, or it would hammer a closed door.
    if elsewhere or (forgiven and not (unheard or isinstance(error, NotSentError))):
        return Retry(0, counted)
    wait = transient(used, chance)
    return Retry(int(max(wait, error.hint or 0.0) * SECOND), counted)


def transient(used: int, chance: float) -> float:
    """Seconds to wait after a transient failure, with ``used`` attempts."""
    longest: float = min(TRANSIENT_BASE * 2 ** max(used - 1, 0), LONGEST)
    return chance * longest


def park(hint: float | None, in_a_row: int, chance: float) -> int:
    """Nanoseconds of quiet after the ``in_a_row``-th rate limit: the server's hint, else a guess.

    A hint of zero says nothing: followed, it would burn all sends of a prompt in an instant.
    """
    if hint:
        return int(hint * SECOND)
    longest = min(PARK_BASE * 2 ** min(in_a_row - 1, 10), LONGEST_GUESS)
    return int(longest * (0.5 + chance / 2) * SECOND)


class RetryBudget:
    """Retries are paid from a bucket that successes fill; when it is empty, retries wait.

    A tenth of a retry for each success, and ten a second in any case, so that an outage fades
    instead of multiplying (the shape of Finagle's and gRPC's budgets).
    """

    __slots__ = ("_at", "_level")

    CAPACITY: Final = 500.0
    PER_SECOND: Final = 10.0
    PER_SUCCESS: Final = 0.1

    def __init__(self) -> None:
        self._level = self.CAPACITY
        self._at = 0

    def succeed(self) -> None:
        """A request worked."""
        if self._level < self.CAPACITY:
            self._level += self.PER_SUCCESS

    def give_back(self) -> None:
        """A retry that was taken is not made."""
        self._level = min(self._level + 1, self.CAPACITY)

    def draw(self, now: int) -> int:
        """Take one retry; the nanoseconds it has to wait for it."""
        gained = (now - self._at) / SECOND * self.PER_SECOND
        self._level = min(self._level + gained, self.CAPACITY) - 1
        self._at = now
        return 0 if self._level >= 0 else int(-self._level / self.PER_SECOND * SECOND)
