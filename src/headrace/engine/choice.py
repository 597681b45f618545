"""The models that may answer, and how one of them is chosen for a request."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

from headrace.core.errors import ConfigError
from headrace.engine.order import Order, interchangeable
from headrace.policy import routing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from headrace.engine.order import Lanes

# Live requests beyond those in flight: enough that a free slot never waits for the next prompt.
CROWD: Final = 32


class Choice:
    """The models that may answer a request, and how one is chosen.

    With weights one model is drawn from the request itself; it is left for another one when it
    has no room where they ``spill``. Without, all are interchangeable, but for their priorities.
    ``groups`` holds the routes of each model, in the order of ``models``; ``start`` brings up what
    runs on this machine. Raises ``ConfigError`` where models spill that cannot.
    """

    def __init__(
        self,
        models: tuple[str, ...],
        groups: tuple[Lanes, ...],
        start: Callable[[Lanes], Coroutine[object, object, None]],
        *,
        weights: tuple[float, ...] | None = None,
        spill: bool = False,
        seed: int = 0,
    ) -> None:
        self.models = models
        self.groups = groups
        self.weights = weights
        self.spill = _checked(weights, spill=spill)
        self.lanes = tuple(state for group in groups for state in group)
        self.order = interchangeable(self.lanes)
        self._alone = tuple(interchangeable(group) for group in groups)
        self._is_elsewhere = all(state.route.endpoint.base_url for state in self.lanes)
        self.is_started = self._is_elsewhere and not self._is_unread
        self._start = start
        self._seed = seed

    async def start(self) -> None:
        """Bring up what runs on this machine and is not running, and read what there is to read."""
        if not self._is_elsewhere or self._is_unread:
            await self._start(self.lanes)
            self.is_started = True

    @property
    def _is_unread(self) -> bool:
        return any(state.is_unread for state in self.lanes)

    @property
    def slots(self) -> int:
        """How many requests may be in flight at once: on all routes, and for the client."""
        most = self.lanes[0].scopes[0].concurrency.ceiling
        return min(most, sum(own.concurrency.ceiling for own in {s.own for s in self.lanes}))

    def spilling(self, *, spill: bool | None) -> Choice:
        """The same, with another answer to whether requests leave a model that has no room."""
        if spill is None or spill == self.spill:
            return self
        other = copy.copy(self)
        other.spill = _checked(self.weights, spill=spill)
        return other

    def in_turn(self, digest: bytes, occurrence: int) -> Iterator[Order]:
        """The orders to try one after another.

        A drawn model holds the request until it fails it; but where models spill, or have several
        priorities, there is one order of all.
        """
        if self.weights is None:
            yield self.order
        elif self.spill or len(self.order.ranks) > 1:
            yield self._in_one(self.weights, digest, occurrence)
        else:
            yield from (self._alone[i] for i in self._drawn(self.weights, digest, occurrence))

    def _drawn(self, given: Sequence[float], digest: bytes, occurrence: int) -> Iterator[int]:
        """The models in the order in which they are drawn, without those that weigh nothing."""
        left = list(range(len(self.groups)))
        while any(weights := [given[i] for i in left]):
            # Each turn has dice of its own, or a dead model's share would go to one neighbour.
            turn = bytes(len(self.groups) - len(left))
            yield left.pop(routing.draw(weights, digest + turn, occurrence, self._seed))

    def _in_one(self, weights: Sequence[float], digest: bytes, occurrence: int) -> Order:
        """All models: by priority, as they are drawn, and what weighs nothing after its equals.

        Those that spill to each other are groups of one rank, all others ranks of their own.
        """
        drawn = list(self._drawn(weights, digest, occurrence))
        drawn += [i for i, weight in enumerate(weights) if not weight]
        ranks: list[list[Lanes]] = []
        last: tuple[int, bool] | None = None
        for i in sorted(drawn, key=self._priority):
            kind = (self._priority(i), bool(weights[i]))
            if self.spill and kind == last and weights[i]:
                ranks[-1].append(self.groups[i])
            else:
                ranks.append([self.groups[i]])
            last = kind
        return Order(tuple(map(tuple, ranks)))

    def _priority(self, model: int) -> int:
        return self.groups[model][0].route.model.priority

    def is_crowded(self) -> bool:
        """Do enough requests wait for these routes, so that more would only take memory?"""
        waiting = 0
        for state in self.lanes:
            waiting += state.waiting
        return waiting >= CROWD


def _checked(weights: Sequence[float] | None, *, spill: bool) -> bool:
    """Whether they spill; to say so means something for models that are drawn, and several."""
    if spill and len(weights or ()) <= 1:
        msg = (
            "spill needs model_weights for two models or more; models without weights are"
            " interchangeable, and one that is full is left anyhow"
        )
        raise ConfigError(msg)
    return spill
