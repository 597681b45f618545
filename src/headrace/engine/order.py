"""In what order a request takes its routes: who is asked, and who only if those cannot.

Routes stand in ranks. A rank is for when no route of those before it is well: all are gone, parked,
or their breakers are not closed. Within a rank they stand in groups. A group is for when those
before it have no room just now; of one group the least busy route with room is taken.

Priorities make ranks, and so do the routes that have failed a request; drawn models that spill to
each other make groups. Of each group one route may be near: the one whose server may remember the
conversation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.policy import routing
from headrace.policy.breaker import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from headrace.engine.scope import RouteState
    from headrace.policy.cost import Cost

# A route that is near may be busier by so much and is taken all the same: what many begin with must
# not crowd one route while others are idle, each of which would soon remember it, too.
LEAN: Final = 32
Lanes: TypeAlias = "tuple[RouteState, ...]"
Rank: TypeAlias = tuple[Lanes, ...]
Near: TypeAlias = "frozenset[RouteState]"


@dataclass(frozen=True, slots=True)
class Order:
    """Ranks of groups of routes; ``lanes`` are all of them, the first to be asked first.

    Orders are equal when nothing but what is ``near`` differs: they wait in one queue.
    """

    ranks: tuple[Rank, ...]
    near: Near = field(default=frozenset(), compare=False)
    lanes: Lanes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lanes", tuple(chain(*chain(*self.ranks))))

    def find(
        self, cost: Cost, now: int, blocked: Container[RouteState] | None = None
    ) -> tuple[RouteState | None, int, int]:
        """The route for a request of this cost; else when to look again, and in how many ranks.

        ``blocked`` are routes for which others wait who came before; None: those for which anybody
        does. When: in nanoseconds, ``NEVER`` for an event.
        """
        least, reached = NEVER, 0
        for rank in self.ranks:
            reached += 1
            for group in rank:
                best, wait = self._least_busy(group, cost, now, blocked)
                if best is not None:
                    return best, 0, reached
                least = min(least, wait)
            if reached < len(self.ranks) and _is_well(rank, now):
                break
        return None, least, reached

    def _least_busy(
        self, group: Lanes, cost: Cost, now: int, blocked: Container[RouteState] | None
    ) -> tuple[RouteState | None, int]:
        best: RouteState | None = None
        least, fewest = NEVER, 0
        for state in group:
            if state.account.waiting if blocked is None else state in blocked:
                continue
            wait = state.wait(now, cost)
            if wait > 0:
                least = min(least, wait)
                continue
            busy = state.in_flight - (LEAN if state in self.near else 0)
            if best is None or busy < fewest:
                best, fewest = state, busy
        return best, least

    def favouring(self, opening: str) -> Order:
        """The same, with one route of each group near to what begins with ``opening``."""
        groups = (group for rank in self.ranks for group in rank if len(group) > 1)
        near = (max(group, key=partial(_nearness, opening)) for group in groups)
        return Order(self.ranks, frozenset(near))

    def waits_for(self, reached: int) -> Iterator[RouteState]:
        """The routes of so many ranks, and those that use up the limits that they wait for."""
        for state in chain(*chain(*self.ranks[:reached])):
            yield state
            if len(state.account.routes) > 1 and state.is_open:
                yield from state.account.routes

    def awaited(self, now: int) -> Iterator[RouteState]:
        """The routes that a request waits for which finds no room: of ranks that are asked now."""
        for rank in self.ranks:
            yield from chain(*rank)
            if _is_well(rank, now):
                return

    def only(self, keeps: Callable[[RouteState], bool]) -> Order:
        """The same of fewer routes."""
        return Order(tuple(self._kept(keeps)), self.near)

    def last(self, failed: Lanes, banned: Lanes) -> Order:
        """The same, with those that have ``failed`` after all others, and none that is banned."""
        fresh = self._kept(lambda state: state not in failed)
        again = self._kept(lambda state: state in failed and state not in banned)
        return Order((*fresh, *again), self.near)

    def behind(self, state: RouteState) -> Order:
        """The same, with ``state`` only where the others of its group have no room."""

        def apart(group: Lanes) -> Rank:
            others = tuple(other for other in group if other is not state)
            return (others, (state,)) if others and state in group else (group,)

        ranks = (tuple(chain(*map(apart, rank))) for rank in self.ranks)
        return Order(tuple(ranks), self.near)

    def _kept(self, keeps: Callable[[RouteState], bool]) -> list[Rank]:
        ranks = ([tuple(filter(keeps, group)) for group in rank] for rank in self.ranks)
        kept = (tuple(group for group in rank if group) for rank in ranks)
        return [rank for rank in kept if rank]


def interchangeable(lanes: Lanes) -> Order:
    """Routes in the order of their priorities alone."""
    return Order(tuple((group,) for group in by_priority([lanes])))


def by_priority(groups: Iterable[Lanes]) -> list[Lanes]:
    """Routes of one priority together, the first priority first."""
    found: dict[int, list[RouteState]] = {}
    for state in chain(*groups):
        found.setdefault(state.route.model.priority, []).append(state)
    return [tuple(found[priority]) for priority in sorted(found)]


def _nearness(opening: str, state: RouteState) -> int:
    return routing.nearness(opening, state.route.id)


def _is_well(rank: Rank, now: int) -> bool:
    return any(state.is_well(now) for group in rank for state in group)
