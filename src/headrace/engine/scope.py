"""The state of a route, which lists the scopes that limit it.

Everything here is synchronous arithmetic that is told the time; ``engine.admission`` guards it
with its lock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headrace.adapters.clock import SystemClock
from headrace.core.errors import QuotaError
from headrace.core.fingerprint import identity_of
from headrace.engine.found import Found
from headrace.engine.hearing import Hearing
from headrace.engine.learning import Learning
from headrace.engine.limits import NAMES, Scope
from headrace.engine.pricing import Pricing
from headrace.engine.tally import Tally
from headrace.policy.adaptive import MOST, Concurrency
from headrace.policy.breaker import NEVER, Breaker, State
from headrace.policy.buckets import SECOND
from headrace.policy.doubt import Doubt
from headrace.wire import failure

if TYPE_CHECKING:
    from headrace.adapters.clock import Clock
    from headrace.core.breaking import BreakerSettings
    from headrace.core.errors import HeadraceError
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.engine.admission import Permit
    from headrace.policy.cost import Cost
    from headrace.policy.known import Known
    from headrace.wire.failure import Limits

# Looked up once: in Python 3.11 each look into an enumeration is a call, and this is asked often.
_CLOSED: Final = State.CLOSED


class RouteState:
    """What is known of a route while the client lives: its scopes, its health, its silence."""

    __slots__ = (
        "_epoch",
        "_identity",
        "_without_quota",
        "answered",
        "breaker",
        "counts_tokens",
        "doubt",
        "found",
        "fresh",
        "gone",
        "hearing",
        "is_guessed",
        "is_to_recall",
        "is_told",
        "last_good",
        "learning",
        "limits",
        "most_input",
        "own",
        "params",
        "parked_at",
        "parked_before",
        "parked_until",
        "pricing",
        "route",
        "scopes",
        "sent",
        "stormed_at",
        "tally",
        "throttles",
        "told",
        "troubled_since",
        "waiting",
    )

    def __init__(
        self,
        route: Route,
        client: Scope,
        params: SamplingParams | None = None,
        epoch: int = 1,
        clock: Clock | None = None,
        *,
        breaker: BreakerSettings | None = None,
    ) -> None:
        """``params``: what the client asks of this model alone; ``epoch``: its codec's."""
        self.route = route
        self.params = params
        self._epoch = epoch
        self._identity: tuple[Route, bytes] | None = None
        clock = clock or SystemClock()
        self.pricing = Pricing(route, clock)
        self.learning = Learning()
        self.own = _own(route, client)
        self.scopes = (client, self.own)
        # Where limits are told, they may come to count tokens while requests wait.
        self.hearing = Hearing(self.own) if route.endpoint.limit_headers else None
        self.found = Found(int(clock.wall() * SECOND) - clock.now())
        self.rate()
        if self.limits:
            self.own.concurrency.trust()
        self.breaker = Breaker(breaker)
        # Its standing as listeners know it.
        self.told: str = State.CLOSED
        self.tally = Tally()
        # Is something remembered of it, perhaps, and has nobody looked?
        self.is_to_recall = False
        self._be_well()

    def _be_well(self) -> None:
        """Nothing is known against it yet."""
        self.gone: HeadraceError | None = None
        self._without_quota: QuotaError | None = None
        self.answered = False
        self.parked_at = self.parked_before = self.stormed_at = -1
        self.doubt = Doubt()
        self.parked_until = 0
        self.is_guessed = False  # how long it is parked
        self.throttles = 0
        self.troubled_since: int | None = None
        self.last_good = 0
        self.waiting = self.fresh = 0
        # So many were admitted in all.
        self.sent = 0

    def rate(self) -> None:
        """See anew which limits there are beside the slots, and what they allow one request."""
        self.limits = tuple(row for scope in self.scopes for row in scope.limits)
        # Does the server tell how many a minute, so that no pace has to be found out?
        self.is_told = self.hearing is not None and self.hearing.has_pace
        may_be_told = self.hearing is not None and self.hearing.may_come
        self.counts_tokens = may_be_told or any(scope.counts_tokens for scope in self.scopes)
        # The most input tokens that one request may ever have here.
        self.most_input = min(scope.most_input for scope in self.scopes)

    @property
    def is_unread(self) -> bool:
        """Is there something to read before its first request?"""
        return self.is_to_recall or self.pricing.is_unread

    def known(self, empty: Known, now: int) -> Known:
        """``empty``, and what was found out of the limits here."""
        at_once, is_bound = self.own.concurrency.known() or (None, False)
        told = self.hearing.known() if self.hearing is not None else ()
        found = None if self.is_told else self.found.known(now)
        pace, by_windows = found or (None, False)
        return replace(
            empty,
            at_once=at_once,
            is_bound=is_bound,
            per_minute=pace,
            by_windows=by_windows,
            told=told,
            correction=self.learning.correction.ratio,
        )

    def recall(self, known: Known, now: int) -> None:
        """Begin with what an earlier run has found out; what the user has stated stays."""
        if known.first_at_once is not None:
            self.own.concurrency.recall(now, known.first_at_once, is_bound=known.is_bound)
        if known.per_minute is not None and not self.route.model.requests_per_minute:
            self.found.recall(now, known.per_minute, by_windows=known.by_windows)
        if self.hearing is not None:
            self.hearing.recall(known.told, now)
            if known.told and not known.is_bound:
                self.own.concurrency.trust()
        if known.correction is not None:
            self.learning.recall(known.correction)
        self.rate()

    def hear(self, limits: Limits, permit: Permit, now: int, patience: int) -> None:
        """What a reply tells of the limits; lock held. ``patience`` in nanoseconds."""
        if self.hearing is None or permit.mark is None:
            return
        if limits is failure.NO_LIMITS:
            self.hearing.hear_nothing(now)
        else:
            self.hearing.hear(limits, permit.mark, permit.admitted_at, now)
            self._see_quota(now, patience)
        self.rate()

    def hear_refusal(self) -> None:
        """A request was refused though limits are told."""
        if self.hearing is not None:
            self.hearing.refuse()

    def _see_quota(self, now: int, patience: int) -> None:
        """Where nothing is left for longer than anybody waits, the route is closed."""
        amount, wait = (0.0, 0) if self.hearing is None else self.hearing.exhausted(now)
        if wait > patience and self.gone is None:
            msg = (
                f"nothing is left of what {self.route.id} allows ({amount:g}), for"
                f" {wait / SECOND:.0f} s; ask for more, or run again then"
            )
            self.gone = self._without_quota = QuotaError(msg)
        elif wait <= patience and self.gone is not None and self.gone is self._without_quota:
            self.gone = self._without_quota = None

    def wait(self, now: int, cost: Cost) -> int:
        """Nanoseconds until a request of this cost may go out here; ``NEVER`` for an event."""
        if self.gone is not None:
            return NEVER
        for scope in self.scopes:
            if scope.in_flight >= scope.concurrency.limit:
                return NEVER
        wait = self.parked_until - now
        if self.breaker.state is not _CLOSED:
            wait = max(wait, self.breaker.wait(now))
        for index, limit in self.limits:
            if (amount := cost[index]) and (longer := limit.wait(now, amount)) > wait:
                wait = longer
        if not self.is_told and self.found.is_paced:
            wait = max(wait, self.found.wait(now))
        return wait

    def is_well(self, now: int) -> bool:
        """Is nothing known against it: not gone, no trouble, no quiet?"""
        if self.gone is not None or self.breaker.state is not _CLOSED:
            return False
        return self.parked_until <= now

    @property
    def standing(self) -> str:
        """What its breaker is, or that it is gone."""
        return self.breaker.state.value if self.gone is None else "gone"

    def reset(self) -> None:
        """Nothing is held against it any more, not even the quiet that its server asked for."""
        self.breaker.reset()
        self.gone = self.troubled_since = self._without_quota = None
        self.parked_until = self.throttles = 0
        self.is_guessed = False

    def take(self, now: int, cost: Cost) -> None:
        """Admit one request in every scope at once."""
        if self.breaker.state is not _CLOSED:
            self.breaker.pass_through()
        self.sent += 1
        for scope in self.scopes:
            scope.in_flight += 1
        for index, limit in self.limits:
            if amount := cost[index]:
                limit.take(now, amount)
        if not self.is_told:
            self.found.take(now)

    def leave(self, admitted_at: int, now: int, cost: Cost, used: Cost | None) -> None:
        """One request is back: free its slots and settle what it used (None: as reserved)."""
        for scope in self.scopes:
            scope.in_flight -= 1
        if used is None or not self.limits:
            return
        if cost.declared and self.route.endpoint.limits_count == "declared":
            used = cost.charged(used)
        for index, limit in self.limits:
            if difference := used[index] - cost[index]:
                limit.settle(admitted_at, now, difference)

    def forget_flights(self) -> None:
        """Nothing is in flight: in a forked child that was the parent's."""
        self.waiting = self.fresh = 0
        self.breaker.forget_probes()
        for scope in self.scopes:
            scope.in_flight = 0

    def revive(self, now: int) -> None:
        """Ask again where an earlier request was turned away: keys and servers get mended.

        A server that asked for quiet gets it, whoever asks.
        """
        if not self.own.in_flight and not self.waiting:
            self.troubled_since = None  # patience counts while somebody asks
        if self.gone is not None and self.parked_until <= now:
            self.gone = None
            self.breaker.reset()
            self.told = State.CLOSED
            self.answered = False
            self.troubled_since = None

    @property
    def identity(self) -> bytes:
        """What an answer depends on beside the request: endpoint, model, codec, own parameters."""
        route = self.route
        if self._identity is None or self._identity[0] is not route:
            own = "" if self.params is None else repr(self.params.given())
            codec = f"{route.endpoint.wire} {self._epoch}"
            # One that is started on this machine is somewhere else each time.
            place = route.base_url if route.endpoint.base_url else route.endpoint.name
            place = route.place or place
            parts = (place, route.model.name, codec, own)
            self._identity = (route, identity_of(*parts))
        return self._identity[1]


def _own(route: Route, client: Scope) -> Scope:
    limits = {name: getattr(route.model, name) for name in NAMES}
    slots = _concurrency(route, client)
    return Scope(route.id, concurrency=slots, limits=limits, make=client.make)


def _concurrency(route: Route, client: Scope) -> Concurrency:
    """The model's own, the client's or the endpoint's; else it is found out."""
    given = client.concurrency.ceiling if client.concurrency.is_fixed else None
    row = route.endpoint.max_concurrent_requests
    stated = route.model.max_concurrent_requests or given or row
    return Concurrency(stated or MOST, stated=stated is not None)
