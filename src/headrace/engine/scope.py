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
from headrace.engine.account import Account
from headrace.engine.learning import Learning
from headrace.engine.limits import NAMES, Scope
from headrace.engine.pricing import Pricing
from headrace.engine.tally import Tally
from headrace.policy.adaptive import MOST, START, Concurrency
from headrace.policy.breaker import NEVER, Breaker, State
from headrace.policy.buckets import DAY, SECOND
from headrace.wire import failure

if TYPE_CHECKING:
    from headrace.adapters.clock import Clock
    from headrace.core.breaking import BreakerSettings
    from headrace.core.errors import HeadraceError
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.engine.account import Met
    from headrace.engine.admission import Permit
    from headrace.engine.limits import Row
    from headrace.policy.cost import Cost
    from headrace.policy.known import Known
    from headrace.wire.failure import Limits

# Looked up once: in Python 3.11 each look into an enumeration is a call, and this is asked often.
_CLOSED: Final = State.CLOSED


class RouteState:
    """What is known of a route while the client lives: its scopes, its health, its silence."""

    __slots__ = (
        "_clock",
        "_day_over",
        "_epoch",
        "_identity",
        "_without_quota",
        "account",
        "answered",
        "breaker",
        "counts_tokens",
        "fresh",
        "gone",
        "in_flight",
        "is_to_recall",
        "is_told",
        "last_good",
        "learning",
        "limits",
        "met",
        "most_input",
        "own",
        "params",
        "pricing",
        "route",
        "scopes",
        "tally",
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
        beside: RouteState | None = None,
        met: Met | None = None,
    ) -> None:
        """``params``: what the client asks of this model alone; ``epoch``: its codec's.

        ``beside``: a route of the same account, whose limits are those of this one, too. ``met``:
        the accounts that servers have named to this client.
        """
        self.route = route
        self.params = params
        self._epoch = epoch
        self._identity: tuple[Route, bytes] | None = None
        self._clock = clock or SystemClock()
        self.pricing = Pricing(route, self._clock)
        self.learning = Learning()
        self.own: Scope = _own(route, client) if beside is None else beside.own
        self.scopes = (client, self.own)
        self.breaker = Breaker(breaker)
        # Its standing as listeners know it.
        self.told: str = State.CLOSED
        self.tally = Tally()
        # Is something remembered of it, perhaps, and has nobody looked?
        self.is_to_recall = False
        self._be_well()
        # What the user says of accounts counts, whatever servers say.
        self.met = None if route.model.account else met
        # Others may see it from here on.
        self.account: Account = Account(route, self._clock) if beside is None else beside.account
        self.account.routes.append(self)
        self.rate()
        if self.limits and beside is None:
            self.own.concurrency.trust()

    def _be_well(self) -> None:
        """Nothing is known against it yet."""
        self.gone: HeadraceError | None = None
        self._without_quota: QuotaError | None = None
        self._day_over: QuotaError | None = None
        self.answered = False
        self.troubled_since: int | None = None
        self.last_good = 0
        self.waiting = self.fresh = self.in_flight = 0

    def rate(self) -> None:
        """See anew which limits there are beside the slots, and what they allow one request."""
        hearing = self.account.hearing
        told = () if hearing is None else hearing.limits
        self.limits: tuple[Row, ...] = (
            *(row for scope in self.scopes for row in scope.limits),
            *told,
        )
        # Does the server tell how many a minute, so that no pace has to be found out?
        self.is_told = hearing is not None and hearing.has_pace
        may_be_told = hearing is not None and hearing.may_come
        self.counts_tokens = may_be_told or any(index for index, _ in self.limits)
        # The most input tokens that one request may ever have here.
        self.most_input = min(scope.most_input for scope in self.scopes)

    @property
    def is_unread(self) -> bool:
        """Is there something to read before its first request?"""
        return self.is_to_recall or self.pricing.is_unread

    def known(self, empty: Known, now: int) -> Known:
        """``empty``, and what was found out of the limits here."""
        at_once, is_bound = self.own.concurrency.known() or (None, False)
        hearing = self.account.hearing
        told = hearing.known() if hearing is not None else ()
        found = None if self.is_told else self.account.found.known(now)
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
        if known.correction is not None:
            self.learning.recall(known.correction)
        if self.account.is_recalled:
            return
        if known.first_at_once is not None:
            self.own.concurrency.recall(now, known.first_at_once, is_bound=known.is_bound)
        if self.route.model.requests_per_minute:
            known = replace(known, per_minute=None)
        self.account.recall(known, now)
        if self.account.hearing is not None and known.told and not known.is_bound:
            self.own.concurrency.trust()
        self.account.rate()

    def hear(self, limits: Limits, permit: Permit, now: int, patience: int) -> None:
        """What a reply tells of the limits; lock held. ``patience`` in nanoseconds."""
        hearing, routes = self.account.hearing, self.account.routes
        if hearing is None or permit.mark is None:
            return
        if limits is failure.NO_LIMITS:
            hearing.hear_nothing(now)
        else:
            if hearing.hear(limits, permit.mark, permit.admitted_at, now):
                for state in routes:
                    state.own.concurrency.trust()
            left = hearing.exhausted(now)
            for state in routes:
                state.see_quota(left, patience)
        self.account.rate()
        if limits.account is not None and self.met is not None:
            self._meet(limits.account, self.met, permit.admitted_at, now)

    def _meet(self, told: str, met: Met, asked_at: int, now: int) -> None:
        """Where another key has the same account, they share it from now on."""
        row, account = self.route.model, self.account
        family = (row.endpoint, row.limit_group or row.name, self.route.region)
        if account.told not in {None, told}:
            # The key was replaced, or something in between has many: it is not to be relied on.
            met.pop((*family, account.told), None)
            self._part(account)
            return
        account.told = told
        first = met.setdefault((*family, told), account)
        if first is not account and first.is_same(account):
            first.absorb(account, now, asked_at)

    def _part(self, account: Account) -> None:
        """Leave those that only a server has named alike, with whom the user has named alike."""
        mates = [state for state in account.routes if state.route.scope == self.route.scope]
        for state in mates:
            state.met = None
        if len(mates) < len(account.routes):
            own = Account(self.route, self._clock)
            for state in mates:
                state.move(own)
            own.rate()
            account.rate()

    def move(self, account: Account) -> None:
        """From now on it belongs to that one."""
        self.account.waiting -= self.waiting
        self.account.routes = [state for state in self.account.routes if state is not self]
        account.waiting += self.waiting
        account.routes = [*account.routes, self]
        self.account = account

    def see_quota(self, left: tuple[float, int], patience: int) -> None:
        """Where nothing is left for longer than anybody waits, the route is closed."""
        amount, wait = left
        if wait > patience and self.gone is None:
            msg = (
                f"nothing is left of what {self.route.id} allows ({amount:g}), for"
                f" {wait / SECOND:.0f} s; ask for more, or run again then"
            )
            self.gone = self._without_quota = QuotaError(msg)
        elif wait <= patience and self.gone is not None and self.gone is self._without_quota:
            self.gone = self._without_quota = None

    def close_for_today(self, now: int, patience: int) -> bool:
        """Where its row's day is used up for longer than ``patience``, the route is closed.

        True when that is news.
        """
        days = (row for _, row in self.limits if row.interval >= DAY and row.is_final)
        spent = next((limit for limit in days if limit.is_spent(now, patience)), None)
        if spent is None or self.gone is not None:
            return False
        msg = (
            f"requests/day of {self.route.id} ({spent.amount:,g}) are used up for longer than"
            f" patience={patience / SECOND:g} s; raise requests_per_day, or run again later"
        )
        self.gone = self._day_over = QuotaError(msg)
        return True

    @property
    def is_lost(self) -> bool:
        """Is it gone for those, too, who have been admitted, and who use the last of a day?"""
        return self.gone is not None and self.gone is not self._day_over

    def wait(self, now: int, cost: Cost) -> int:
        """Nanoseconds until a request of this cost may go out here; ``NEVER`` for an event."""
        if self.gone is not None:
            return NEVER
        for scope in self.scopes:
            if (
                scope.in_flight >= scope.concurrency.limit
                and (wait := scope.concurrency.wait(now)) > 0
            ):
                return wait
        wait = self.account.parked_until - now
        if self.breaker.state is not _CLOSED:
            wait = max(wait, self.breaker.wait(now))
        for index, limit in self.limits:
            if (amount := cost[index]) and (longer := limit.wait(now, amount)) > wait:
                wait = longer
        if not self.is_told and (found := self.account.found).is_paced:
            wait = max(wait, found.wait(now))
        return wait

    def is_well(self, now: int) -> bool:
        """Is nothing known against it: not gone, no trouble, no quiet?"""
        return self.is_open and self.account.parked_until <= now

    @property
    def is_open(self) -> bool:
        """Is it neither gone nor in trouble?"""
        return self.gone is None and self.breaker.state is _CLOSED

    @property
    def standing(self) -> str:
        """What its breaker is, or that it is gone."""
        return self.breaker.state.value if self.gone is None else "gone"

    def reset(self) -> None:
        """Nothing is held against it any more, not even the quiet that its server asked for."""
        self.breaker.reset()
        self.gone = self.troubled_since = self._without_quota = None
        self.account.reset()

    def take(self, now: int, cost: Cost, late: int = 0) -> None:
        """Admit one request in every scope at once; it was due ``late`` nanoseconds ago."""
        if self.breaker.state is not _CLOSED:
            self.breaker.pass_through()
        self.in_flight += 1
        for scope in self.scopes:
            scope.in_flight += 1
        for index, limit in self.limits:
            if amount := cost[index]:
                limit.take(now, amount, late)
        self.account.silence.send(now)
        if not self.is_told:
            self.account.found.take(now, late)

    def leave(self, admitted_at: int, now: int, cost: Cost, used: Cost | None) -> None:
        """One request is back: free its slots and settle what it used (None: as reserved)."""
        self.in_flight -= 1
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
        self.waiting = self.fresh = self.in_flight = self.account.waiting = 0
        self.breaker.forget_probes()
        for scope in self.scopes:
            scope.in_flight = 0

    def revive(self, now: int) -> None:
        """Ask again where an earlier request was turned away: keys and servers get mended.

        A server that asked for quiet gets it, whoever asks.
        """
        if not self.in_flight and not self.waiting:
            self.troubled_since = None  # patience counts while somebody asks
        if self.gone is not None and self.account.parked_until <= now:
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
    return Scope(route.scope, concurrency=slots, limits=limits, make=client.make)


def _concurrency(route: Route, client: Scope) -> Concurrency:
    """The model's own, the client's or the endpoint's; else it is found out."""
    given = client.concurrency.ceiling if client.concurrency.is_fixed else None
    row = route.endpoint.max_concurrent_requests
    stated = route.model.max_concurrent_requests or given or row
    # One's own server takes whatever comes, and lets it wait.
    unheard = 0 if route.endpoint.lenient else START
    return Concurrency(stated or MOST, stated=stated is not None, unheard=unheard)
