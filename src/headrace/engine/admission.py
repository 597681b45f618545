"""Admission: who may send next. The hard file of the engine; here is how it works.

A request asks with the routes that may serve it, in an *order* (``engine.order``). It is admitted
in one synchronous step to the first of them with room in every scope (slots, requests, tokens,
quiet, breaker), or it waits. It holds nothing while it waits.

Waiters with the same order stand in one queue, by the number they drew when they first asked.
There are as many queues as there are different orders, a handful, however many wait. ``pump``
looks at the heads of the queues in the order of their numbers: a head that finds no room blocks
the routes that it waits for against all who came later, so nobody passes a large prompt that waits
for tokens. It is looked at anew with each event, so that it goes to a lower rank when a higher one
is parked or opens, and back.
That costs the same for each admission however many wait, and nothing for those who only wait.

Nobody polls. The pump runs when something changes: a request comes back, a route parks, opens or
goes, a waiter leaves; or when the first moment comes at which a head could pass by time alone, for
which one timer is set in the event loop of that head.

All state belongs to the client and is guarded by one ``threading.Lock`` that is never held across
an await, so that several loops and threads share one set of limits. Only waking a waiter touches
its event loop, by way of its ``Waker``.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from headrace.adapters import keys
from headrace.core.errors import AllRoutesClosedError, NoRouteError, TooLargeError
from headrace.engine.line import Line
from headrace.policy.breaker import NEVER, State
from headrace.policy.cost import NOTHING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from headrace.core.errors import HeadraceError
    from headrace.core.model import Route
    from headrace.engine.order import Lanes, Order
    from headrace.engine.scope import RouteState
    from headrace.policy.cost import Cost

_UNAUTHORIZED: Final = 401
# Looked up once: in Python 3.11 each look into an enumeration is a call, and this is asked often.
_HALF_OPEN: Final = State.HALF_OPEN


class Waker(Protocol):
    """An event loop, as far as admission needs it; False where it is closed.

    Both calls may come from any thread.
    """

    def deliver(self, waiter: Waiter) -> bool:
        """Resolve the waiter's future from its ``permit`` or ``error``, in its own loop."""

    def arm(self, wait: int) -> bool:
        """Call the pump after ``wait`` nanoseconds, unless it is called for sooner."""


class Permit:
    """The right to have one attempt in flight on one route."""

    __slots__ = (
        "admitted_at",
        "billed",
        "cost",
        "crowd",
        "is_over",
        "is_probe",
        "left",
        "mark",
        "number",
        "quiet",
        "send",
        "state",
    )

    def __init__(self, state: RouteState, cost: Cost, admitted_at: int) -> None:
        self.state = state
        self.cost = cost
        self.admitted_at = admitted_at
        self.is_probe = state.breaker.state is _HALF_OPEN
        # So many are in flight on its route, with this one.
        self.crowd = state.own.in_flight
        # In the order of sending there.
        self.number = state.account.silence.sent
        # The seconds of quiet that its refusal has asked for so far; 0: it did not say how long.
        self.quiet: float | None = None
        self.is_over = False
        # Which send of its request it is; 0: none yet.
        self.send = 0
        # Has its first byte gone out, as far as anybody asked?
        self.left = False
        # Nano-dollars of its answer; None: unknown.
        self.billed: int | None = None
        # All that was admitted up to this one, where the server tells what is left.
        hearing = state.account.hearing
        self.mark = None if hearing is None else hearing.note(cost, admitted_at)

    def leave(self, now: int, used: Cost | None) -> None:
        """The attempt is over, having ``used`` so much (None: as reserved). Lock held.

        Only the first time counts: one whose loop was closed may come to its end later.
        """
        if self.is_over:
            return
        self.is_over = True
        self.state.leave(self.admitted_at, now, self.cost, used)

    def withdraw(self, now: int) -> None:
        """Nothing was sent: everything that was reserved goes back. Lock held."""
        self._end(now, NOTHING)

    def settle(self, now: int) -> None:
        """Nobody knows what became of it: what was reserved counts as spent. Lock held."""
        self._end(now, None)

    def _end(self, now: int, used: Cost | None) -> None:
        if self.is_probe and not self.is_over:
            self.state.breaker.give_back(now)
        self.leave(now, used)


class Waiter:
    """One request that waits for a permit."""

    __slots__ = (
        "cost",
        "due",
        "error",
        "future",
        "gone",
        "is_fresh",
        "number",
        "order",
        "permit",
        "waker",
    )

    def __init__(
        self, order: Order, cost: Cost, number: int, future: asyncio.Future[Permit], waker: Waker
    ) -> None:
        self.order = order
        self.cost = cost
        self.number = number
        self.future = future
        self.waker = waker
        self.permit: Permit | None = None
        self.error: Exception | None = None
        self.gone = False
        # When it was to pass by time alone, as it looked last.
        self.due = NEVER
        # It has not failed yet, so that its fate may tell more of a route than of itself.
        self.is_fresh = True

    def __lt__(self, other: Waiter) -> bool:
        """Who asked first."""
        return self.number < other.number


class Admission:
    """Decides who may send next, over all routes and event loops of one client."""

    def __init__(self, patience: int = NEVER) -> None:
        """``patience``: nanoseconds that are waited for what a day allows."""
        self._patience = patience
        self.lock = threading.Lock()
        self._queues: dict[Order, Line] = {}
        self._numbers = count()
        # Says for each run whether it has more to ask than what is live.
        self.feeds: list[Callable[[], bool]] = []

    def reset(self) -> None:
        """Forget who waits: in a forked child they, and who holds the lock, are the parent's."""
        self.lock = threading.Lock()
        self._queues = {}
        self.feeds = []

    def is_fed(self) -> bool:
        """Has a run more to ask than what is live? Lock held."""
        return any(feed() for feed in self.feeds)

    @contextmanager
    def fed_by(self, feed: Callable[[], bool]) -> Iterator[None]:
        """A run goes on meanwhile, and ``feed`` says whether it has more to ask."""
        with self.lock:
            self.feeds.append(feed)
        try:
            yield
        finally:
            with self.lock:
                if feed in self.feeds:  # a forked child knows nothing of it
                    self.feeds.remove(feed)

    def number(self) -> int:
        """A place in the order of asking; a request keeps it until it fails."""
        return next(self._numbers)

    def try_admit(self, order: Order, cost: Cost, now: int) -> Permit | None:
        """Admit at once if there is room and nobody waits for the same routes. Lock held."""
        state = order.find(cost, now)[0]
        return None if state is None else _grant(state, cost, now)

    def enqueue(self, waiter: Waiter, now: int) -> None:
        """Let ``waiter`` stand in line. Lock held."""
        queue = self._queues.get(waiter.order)
        if queue is None:
            queue = self._queues[waiter.order] = Line()
        queue.add(waiter)
        for state in waiter.order.lanes:
            state.waiting += 1
            state.account.waiting += 1
            state.fresh += waiter.is_fresh
        # Behind others in its own queue it changes nothing.
        if queue.first() is waiter:
            self.pump(now)

    def leave(self, waiter: Waiter, now: int) -> None:
        """A waiter gives up (cancelled, deadline) and is dropped when it comes up. Lock held."""
        if waiter.permit is None and waiter.error is None and not waiter.gone:
            _forget(waiter)
            self.pump(now)

    def pump(self, now: int) -> None:
        """Admit everybody who can be admitted now, and set the timers for the rest. Lock held."""
        if not self._queues:
            return
        blocked: set[RouteState] = set()
        seen: set[Order] = set()
        while head := self._earliest(blocked, seen):
            state, wait, ranks = head.order.find(head.cost, now, blocked)
            if state is not None:
                _forget(head)
                late = now - head.due if now > head.due else 0
                permit = head.permit = _grant(state, head.cost, now, late)
                if not head.waker.deliver(head):
                    head.permit = None
                    permit.withdraw(now)
                continue
            head.due = now + wait
            if self._is_over(head, wait, now):
                continue
            if wait < NEVER and not head.waker.arm(wait):
                _forget(head)  # its loop is closed, and would keep the time for nobody behind it
            elif len(self._queues) == 1:
                return
            else:
                seen.add(head.order)
                blocked.update(head.order.waits_for(ranks))

    def heads(self) -> list[Waiter]:
        """Who has waited longest in each queue, in the order in which they came. Lock held."""
        heads = [head for queue in self._queues.values() if (head := queue.first()) is not None]
        return sorted(heads)

    def lines(self) -> list[list[Waiter]]:
        """Everybody who stands in line, and some who are gone, as of now. Lock held."""
        return [list(queue) for queue in self._queues.values()]

    def _earliest(self, blocked: set[RouteState], seen: set[Order]) -> Waiter | None:
        """The head who asked first, of those with a route nobody before them blocks."""
        earliest: Waiter | None = None
        for order, queue in tuple(self._queues.items()):
            head = queue.first()
            if head is None:
                del self._queues[order]
            elif (earliest is None or head < earliest) and not (
                blocked and (order in seen or blocked.issuperset(order.lanes))
            ):
                earliest = head
        return earliest

    def _is_over(self, head: Waiter, wait: int, now: int) -> bool:
        """Have routes come to their end, for all who wait as this one does, or for today?"""
        lanes = head.order.lanes
        if wait < NEVER:
            over = wait > self._patience
            return over and any(state.close_for_today(now, self._patience) for state in lanes)
        if over := _all_gone(lanes):
            self._fail(self._queues[head.order], lanes)
        return over

    def _fail(self, queue: Line, lanes: Lanes) -> None:
        """Every route of these waiters is gone: say so to each."""
        for waiter in queue:
            if not waiter.gone:
                _forget(waiter)
                waiter.error = no_route(lanes)
                waiter.waker.deliver(waiter)


def _forget(waiter: Waiter) -> None:
    waiter.gone = True
    for state in waiter.order.lanes:
        state.waiting -= 1
        state.account.waiting -= 1
        state.fresh -= waiter.is_fresh


def _all_gone(lanes: Lanes) -> bool:
    # The first that is not gone says it, most often the very first.
    return lanes[0].gone is not None and all(state.gone is not None for state in lanes)


def _grant(state: RouteState, cost: Cost, now: int, late: int = 0) -> Permit:
    state.take(now, cost, late)
    return Permit(state, cost, now)


def no_route(lanes: Lanes) -> NoRouteError:
    """What to say when every route is closed: each with its reason, and what came of it."""
    reasons = "; ".join(
        dict.fromkeys(_reason(s.route, s.gone) for s in lanes if s.gone is not None)
    )
    said = f"no route is left: {reasons}"
    if len(lanes) == 1:
        return NoRouteError(said)
    of_each = ", ".join(f"{state.route.id} {state.tally}" for state in lanes)
    return AllRoutesClosedError(f"{said} (attempts: {of_each})")


def _reason(route: Route, gone: HeadraceError) -> str:
    said, url = str(gone), route.base_url
    if getattr(gone, "status", None) == _UNAUTHORIZED:
        if route.endpoint.auth == "none":
            said += "; none was sent, since a base_url gets only the key of api_key="
        elif keys.reveal(route.key) is None:
            said += f"; none was sent, since {' and '.join(route.key.env)} is not set"
    return said if not url or url in said else f"{route.id} at {url}: {said}"


def fitting(lanes: Lanes, input_tokens: int) -> Lanes:
    """The routes whose limits have room for that many input tokens; ``TooLargeError``: none has."""
    if len(lanes) == 1 and input_tokens <= lanes[0].most_input:
        return lanes
    fit = tuple(state for state in lanes if input_tokens <= state.most_input)
    if fit:
        return lanes if len(fit) == len(lanes) else fit
    most = max(state.most_input for state in lanes)
    msg = (
        f"the prompt needs about {input_tokens} tokens and the limit is {most:g} a minute;"
        " raise tokens per minute or shorten the prompt"
    )
    raise TooLargeError(msg)
