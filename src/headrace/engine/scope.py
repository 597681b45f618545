"""What limits belong to: scopes, and the state of a route, which lists its scopes.

Everything here is synchronous arithmetic that is told the time; ``engine.admission`` guards it
with its lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.clock import SystemClock
from headrace.adapters.pace import Pacer
from headrace.core.fingerprint import identity_of
from headrace.engine.learning import Learning
from headrace.engine.pricing import Pricing
from headrace.policy.adaptive import START, Concurrency
from headrace.policy.breaker import NEVER, Breaker, State
from headrace.policy.buckets import Ring

if TYPE_CHECKING:
    from headrace.adapters.clock import Clock
    from headrace.core.errors import HeadraceError
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams


class Limit:
    """A rate per minute: even pacing now, and nothing above it in any 60 seconds."""

    __slots__ = ("_pacer", "_ring", "per_minute")

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._pacer = Pacer(per_minute)
        self._ring = Ring(per_minute)

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may be admitted."""
        return self._ring.wait(now, cost) or self._pacer.wait(now, cost)

    def take(self, now: int, cost: float) -> None:
        """Admit ``cost``; ``wait`` said 0 at the same ``now``."""
        self._ring.add(now, cost)
        self._pacer.take(now, cost)

    def settle(self, admitted_at: int, now: int, difference: float) -> None:
        """Return what was not used (negative), or charge what was used beyond it."""
        self._ring.settle(admitted_at, now, difference)
        self._pacer.settle(now, difference)


def _limit(per_minute: float | None) -> Limit | None:
    return None if per_minute is None else Limit(per_minute)


class Scope:
    """Something that limits belong to: the client as a whole, or one route."""

    __slots__ = ("concurrency", "in_flight", "name", "requests", "tokens")

    def __init__(
        self,
        name: str,
        *,
        concurrency: Concurrency,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
    ) -> None:
        self.name = name
        self.concurrency = concurrency
        self.requests = _limit(requests_per_minute)
        self.tokens = _limit(tokens_per_minute)
        self.in_flight = 0

    @property
    def is_rated(self) -> bool:
        """Has it limits beside its slots?"""
        return self.requests is not None or self.tokens is not None

    def wait(self, now: int, tokens: int) -> int:
        """Nanoseconds until the rates have room for one request of ``tokens``."""
        wait = 0
        if self.requests is not None:
            wait = self.requests.wait(now, 1)
        if self.tokens is not None and tokens:
            wait = max(wait, self.tokens.wait(now, tokens))
        return wait

    def take(self, now: int, tokens: int) -> None:
        """Charge one request to the rates."""
        if self.requests is not None:
            self.requests.take(now, 1)
        if self.tokens is not None and tokens:
            self.tokens.take(now, tokens)

    def settle(self, admitted_at: int, now: int, *, sent: bool, difference: int) -> None:
        """Return what one request did not use, or charge what it used beyond it."""
        if self.requests is not None and not sent:
            self.requests.settle(admitted_at, now, -1)
        if self.tokens is not None and difference:
            self.tokens.settle(admitted_at, now, difference)


class RouteState:
    """What is known of a route while the client lives: its scopes, its health, its silence."""

    __slots__ = (
        "_epoch",
        "_identity",
        "answered",
        "breaker",
        "fresh",
        "gone",
        "has_token_limit",
        "last_good",
        "learning",
        "own",
        "params",
        "parked_at",
        "parked_until",
        "pricing",
        "rated",
        "route",
        "scopes",
        "throttles",
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
    ) -> None:
        """``params``: what the client asks of this model alone; ``epoch``: its codec's."""
        model = route.model
        self.route = route
        self.params = params
        self._epoch = epoch
        self._identity: tuple[Route, bytes] | None = None
        self.pricing = Pricing(route, clock or SystemClock())
        self.learning = Learning()
        self.own = Scope(
            route.id,
            concurrency=Concurrency(_ceiling(route, client)),
            requests_per_minute=model.requests_per_minute,
            tokens_per_minute=model.tokens_per_minute,
        )
        self.scopes = (client, self.own)
        self.rated = tuple(scope for scope in self.scopes if scope.is_rated)
        self.has_token_limit = any(scope.tokens is not None for scope in self.scopes)
        self.breaker = Breaker()
        self.gone: HeadraceError | None = None
        self.answered = False
        self.parked_at = -1
        self.parked_until = 0
        self.throttles = 0
        self.troubled_since: int | None = None
        self.last_good = 0
        self.waiting = self.fresh = 0

    def wait(self, now: int, tokens: int) -> int:
        """Nanoseconds until a request of ``tokens`` may go out here; ``NEVER`` for an event."""
        if self.gone is not None:
            return NEVER
        for scope in self.scopes:
            if scope.in_flight >= scope.concurrency.limit:
                return NEVER
        wait = self.parked_until - now
        if self.breaker.state is not State.CLOSED:
            wait = max(wait, self.breaker.wait(now))
        for scope in self.rated:
            wait = max(wait, scope.wait(now, tokens))
        return wait

    def is_well(self, now: int) -> bool:
        """Is nothing known against it: not gone, no trouble, no quiet?"""
        if self.gone is not None or self.breaker.state is not State.CLOSED:
            return False
        return self.parked_until <= now

    def take(self, now: int, tokens: int) -> None:
        """Admit one request in every scope at once."""
        if self.breaker.state is not State.CLOSED:
            self.breaker.pass_through()
        for scope in self.scopes:
            scope.in_flight += 1
        for scope in self.rated:
            scope.take(now, tokens)

    def leave(self, admitted_at: int, now: int, *, sent: bool, difference: int) -> None:
        """One request is back: free its slots and settle what it used."""
        for scope in self.scopes:
            scope.in_flight -= 1
        for scope in self.rated:
            scope.settle(admitted_at, now, sent=sent, difference=difference)

    def forget_flights(self) -> None:
        """Nothing is in flight: in a forked child that was the parent's."""
        self.waiting = self.fresh = 0
        self.breaker.give_back(0)  # the probe, if there is one, is the parent's
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
            self.breaker = Breaker()
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

    @property
    def most_tokens(self) -> float:
        """The most tokens that one request may ever cost here."""
        return min(s.tokens.per_minute for s in self.scopes if s.tokens is not None)


def _ceiling(route: Route, client: Scope) -> int:
    """Where the route's concurrency starts: the model's own, the client's, the endpoint's."""
    given = client.concurrency.ceiling if client.concurrency.is_fixed else None
    return (
        route.model.max_concurrent_requests
        or given
        or route.endpoint.max_concurrent_requests
        or START
    )
