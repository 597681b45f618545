"""What admission costs: CPU for each request with 10 and with 1,000,000 waiting.

The engine's own admission, without an event loop or a network: a request comes back and is settled,
the first in line is admitted in its place, and another one joins the line. What binds are slots,
without limits or with those of requests and tokens, or these limits. The fastest of several turns
counts, since whatever else the machine does only ever adds to it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from benchmarks.scenarios.scenario import Figures, Measured, at_most
from headrace import Model
from headrace.engine.admission import Admission, Waiter
from headrace.engine.limits import Scope
from headrace.engine.order import interchangeable
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import Concurrency
from headrace.policy.buckets import SECOND
from headrace.policy.cost import cost
from headrace.registry.resolve import Place, route

if TYPE_CHECKING:
    from headrace.engine.admission import Permit

# Microseconds.
MOST: Final = 10.0
TURNS: Final = 5
MEASURED: Final = 20_000
IN_FLIGHT: Final = 200
# Where limits bind, one request is let through in so many nanoseconds.
STEP: Final = 1_000_000
PER_MINUTE: Final = 60 * SECOND // STEP
RESERVED, USED = cost(500, 100), cost(500, 80)
Binding: TypeAlias = Literal["slots", "slots beside limits", "limits"]


class Line:
    """An admission with so many in line, who are noted when they are let in."""

    def __init__(self, waiting: int, binding: Binding) -> None:
        has_slots = binding != "limits"
        slots = IN_FLIGHT if has_slots else 1 << 30
        requests = PER_MINUTE * (100 if has_slots else 1)
        limits = {} if binding == "slots" else {"requests_per_minute": requests}
        client = Scope("client", concurrency=Concurrency(slots, fixed=True), limits=limits)
        tokens = None if binding == "slots" else requests * RESERVED.tokens
        row = Model(id="openai/any", tokens_per_minute=tokens)
        self._state = RouteState(route(row, Place(base_url="http://127.0.0.1:1/v1")), client)
        self._state.own.concurrency = Concurrency(slots, fixed=True)
        self._order = interchangeable((self._state,))
        self._admission = Admission()
        loop = asyncio.new_event_loop()
        self._future: asyncio.Future[Permit] = loop.create_future()
        loop.close()
        self._now = 1_000 * SECOND
        self._wait = STEP
        # Time that passes while nobody waits for it.
        self._between = STEP if has_slots else 0
        self.flying = deque[Waiter]()
        for _ in range(waiting + IN_FLIGHT):
            self._join()
        while len(self.flying) < IN_FLIGHT:
            self._pass_time()

    def deliver(self, waiter: Waiter) -> bool:
        """Somebody is let in."""
        self.flying.append(waiter)
        return True

    def arm(self, wait: int) -> bool:
        """So many nanoseconds on, somebody can be let in."""
        self._wait = wait
        return True

    def _join(self) -> None:
        """Ask as an attempt does: at once if there is room, else in line."""
        admission = self._admission
        number = admission.number()
        with admission.lock:
            permit = admission.try_admit(self._order, RESERVED, self._now)
            waiter = Waiter(self._order, RESERVED, number, self._future, self)
            if permit is None:
                admission.enqueue(waiter, self._now)
            else:
                waiter.permit = permit
                self.flying.append(waiter)

    def _pass_time(self) -> None:
        """Wait for the timer that was set, as a loop does."""
        self._now += self._wait
        with self._admission.lock:
            self._admission.pump(self._now)

    def _come_back(self) -> None:
        """Settle the request that is longest under way; where slots bind, another one takes its."""
        permit = self.flying.popleft().permit
        self._now += self._between
        with self._admission.lock:
            if permit is not None:
                permit.leave(self._now, USED)
            self._admission.pump(self._now)

    def turn(self, requests: int) -> None:
        """Let so many come back, and as many join."""
        for _ in range(requests):
            self._come_back()
            while len(self.flying) < IN_FLIGHT:
                self._pass_time()
            self._join()

    def micros(self) -> float:
        """Microseconds of CPU for each request, from joining to being settled."""
        began = time.process_time()
        self.turn(MEASURED)
        return (time.process_time() - began) / MEASURED * 1e6


@dataclass(frozen=True, kw_only=True)
class Admitting(Measured):
    """Requests that come and go while so many wait."""

    waiting: int
    binding: Binding

    def run(self, *, small: bool = False) -> Figures:
        """See ``Measured``."""
        began = time.perf_counter()
        line = Line(self.waiting // (100 if small else 1), self.binding)
        gc.collect()
        micros = min(line.micros() for _ in range(TURNS))
        return {"CPU a request": micros, "wall time": time.perf_counter() - began}


ADMITTING: Final = tuple(
    Admitting(
        name=f"admission: {waiting:,} waiting for {binding}",
        aims=(at_most("CPU a request", MOST),),
        waiting=waiting,
        binding=binding,
    )
    for binding in get_args(Binding)
    for waiting in (10, 1_000_000)
)
