"""What a server takes as one: all that goes by one account, or else by one key.

Limits that it tells, what it bears, and the quiet that it asks for are the account's, whichever key
they come by. Health is each route's own: a key that is revoked says nothing of others.

Everything here is synchronous arithmetic that is told the time; ``engine.admission`` guards it with
its lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from headrace.engine.found import Found
from headrace.engine.hearing import Hearing
from headrace.policy.buckets import SECOND
from headrace.policy.doubt import Doubt
from headrace.policy.silence import Silence

if TYPE_CHECKING:
    from headrace.adapters.clock import Clock
    from headrace.core.model import Route
    from headrace.engine.scope import RouteState
    from headrace.policy.known import Known

# The accounts that servers have named: endpoint, model or group, region and name.
Met: TypeAlias = "dict[tuple[str, str, str | None, str | None], Account]"


class Account:
    """What the routes of one account have in common; most often there is one."""

    __slots__ = (
        "before_storm",
        "borne_at",
        "doubt",
        "found",
        "hearing",
        "is_guessed",
        "is_recalled",
        "name",
        "parked_at",
        "parked_before",
        "parked_until",
        "refused",
        "refused_anew_at",
        "refused_at",
        "routes",
        "silence",
        "storm",
        "stormed_at",
        "throttles",
        "told",
        "waiting",
    )

    def __init__(self, route: Route, clock: Clock) -> None:
        """That of ``route``, which others may join."""
        self.name = route.scope
        self.routes: list[RouteState] = []
        # Where limits are told, they may come to count tokens while requests wait.
        self.hearing = Hearing() if route.endpoint.limit_headers else None
        self.found = Found(int(clock.wall() * SECOND) - clock.now())
        self.doubt = Doubt()
        self.parked_at = self.parked_before = self.stormed_at = -1
        self.parked_until = 0
        self.is_guessed = False  # how long it is parked
        self.throttles = 0
        # When the storm began that the last newcomer met, and the rate and the slots before it.
        self.before_storm: tuple[int, float, int] | None = None
        self.silence = Silence()
        # When the latest was sent that was answered, and that was refused for its first time; when
        # the last was refused at all.
        self.borne_at = self.refused_anew_at = self.refused_at = -1
        # What had been sent by then, and when the last storm began.
        self.refused = self.storm = self.silence.moment
        # How many wait for any of its routes; who waits for several is counted for each.
        self.waiting = 0
        # Has it begun with what an earlier run had found out?
        self.is_recalled = False
        # What the server calls it.
        self.told: str | None = None

    def rate(self) -> None:
        """Let its routes see anew which limits there are."""
        for state in self.routes:
            state.rate()

    def recall(self, known: Known, now: int) -> None:
        """Begin with what an earlier run has found out of it by one of its routes."""
        self.is_recalled = True
        if known.per_minute is not None and not self.found.is_paced:
            self.found.recall(now, known.per_minute, by_windows=known.by_windows)
        if self.hearing is not None:
            self.hearing.recall(known.told, now)

    def is_same(self, other: Account) -> bool:
        """Was the other, which has the same name, told the same limits?

        Parts of an account may have limits of their own, which no name tells.
        """
        mine, theirs = self.hearing, other.hearing
        return mine is not None and theirs is not None and mine.agrees(theirs)

    def absorb(self, newer: Account, now: int, asked_at: int) -> None:
        """Be one with another that is the same, and has just heard so.

        ``asked_at``: when the request was admitted whose reply said so.
        """
        if self.hearing is not None and newer.hearing is not None:
            self.hearing.absorb(newer.hearing, now, asked_at)
        self.found.absorb(newer.found, now)
        if newer.parked_until > self.parked_until:
            self.parked_until, self.is_guessed = newer.parked_until, newer.is_guessed
            self.parked_at, self.parked_before = newer.parked_at, newer.parked_before
            self.throttles = newer.throttles
        for state in tuple(newer.routes):
            state.move(self)
        self.rate()

    def reset(self) -> None:
        """Nobody has asked for quiet."""
        self.parked_until = self.throttles = 0
        self.is_guessed = False
