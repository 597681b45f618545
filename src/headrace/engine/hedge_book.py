"""What is slow on each route of a client, and what second copies may still cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from headrace.policy import hedging

if TYPE_CHECKING:
    from headrace.core.hedging import HedgeSettings
    from headrace.engine.admission import Permit
    from headrace.engine.scope import RouteState


class Paid(NamedTuple):
    """What was taken out of which purse for a second copy, in nano-dollars or requests."""

    purse: hedging.Purse
    amount: float
    is_money: bool


class Book:
    """A client's own; guarded by admission's lock."""

    def __init__(self, settings: HedgeSettings) -> None:
        self._quantile = settings.quantile
        self._money = hedging.Purse(settings.share)
        self._requests = hedging.Purse(settings.share)
        self._paces: dict[RouteState, hedging.Pace] = {}
        # Routes whose requests are seen to leave.
        self._seen: set[RouteState] = set()

    def wait(self, permit: Permit, now: int) -> int:
        """Nanoseconds until this attempt may be slow; 0: it is."""
        elapsed = now - permit.admitted_at
        waits_here = not permit.left if permit.state in self._seen else not permit.send
        if waits_here or permit.is_over:  # for its connection or intent, or to be recorded
            return hedging.later(elapsed)
        return self._pace(permit.state).wait(elapsed)

    def take(self, first: Permit, now: int) -> None:
        """A first copy was answered, or is given up for the second."""
        self._pace(first.state).take(now - first.admitted_at)

    def earn(self, permit: Permit) -> None:
        """An attempt was answered, and is billed."""
        if permit.left:
            self._seen.add(permit.state)
        if permit.billed:
            pace = self._pace(permit.state)
            pace.price(permit.billed)
            self._money.earn(permit.billed, pace.cost)
        else:
            self._requests.earn(1, 1)

    def draw(self, permit: Permit, now: int) -> Paid | None:
        """Pay for a second copy in advance; None: there is not enough."""
        pace = self._pace(permit.state)
        cost, spared = pace.cost, pace.spared(now - permit.admitted_at)
        purse, price = (self._money, cost) if cost else (self._requests, 1)
        return Paid(purse, price, is_money=cost > 0) if purse.draw(price, spared) else None

    def _pace(self, state: RouteState) -> hedging.Pace:
        pace = self._paces.get(state)
        if pace is None:
            pace = self._paces[state] = hedging.Pace(self._quantile)
        return pace
