"""One request's attempts: admit, send once, record, settle, decide; and again until it ends.

``Sender`` belongs to the client: it owns the decisions (admission, health, the retry budget) and
serves every run and event loop. What differs between requests is handed in.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from headrace.adapters.http import HttpExchange
from headrace.core import shape
from headrace.core.errors import (
    JournalError,
    NoRouteError,
    ProviderError,
)
from headrace.engine import binding
from headrace.engine.admission import Permit, Waiter
from headrace.engine.course import Course
from headrace.engine.gate import Gate
from headrace.engine.leaving import undo
from headrace.engine.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.adapters.clock import Clock
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.response import APIResponse
    from headrace.engine.leaving import WriteOff
    from headrace.engine.loops import LoopScope
    from headrace.engine.order import Order
    from headrace.engine.outcomes import Record
    from headrace.providers.base import Exchange, ProviderRequest


class Bind(Protocol):
    """Which request class serves a route; the engine knows no vendor."""

    def __call__(
        self, context: RequestContext, route: Route, exchange: Exchange, /
    ) -> ProviderRequest:
        """One request object for one attempt."""


class Sender(Outcomes):
    """Sends requests: at most as fast as the limits allow, again where that helps."""

    def __init__(
        self,
        *,
        bind: Bind,
        clock: Clock,
        chance: Callable[[], float],
        max_attempts: int,
        request_timeout: float,
        patience: float,
    ) -> None:
        """``request_timeout`` and ``patience`` in seconds; ``chance`` rolls from [0, 1)."""
        super().__init__(clock=clock, chance=chance, max_attempts=max_attempts, patience=patience)
        self._bind = bind
        self._timeout = request_timeout
        self._course: Callable[..., Course] = Course

    def pump(self) -> None:
        """Admit whoever can be admitted now; what timers call."""
        with self.admission.lock:
            self.admission.pump(self.clock.now())

    def take_back(self, permits: Iterable[Permit]) -> None:
        """Attempts whose event loop was closed over them are over."""
        now = self.clock.now()
        with self.admission.lock:
            for permit in permits:
                permit.settle(now)
            self.admission.pump(now)

    async def answer(
        self,
        context: RequestContext,
        order: Order,
        scope: LoopScope,
        record: Record | None,
        write_off: WriteOff,
        *,
        may_move: bool = False,
    ) -> APIResponse[object]:
        """Try until there is an answer or a final error, which is raised with its history.

        Where it ``may_move`` to other models, the first failure raises ``MovedOn`` instead. Left
        in any other way (cancelled, a bug), it tells ``write_off`` what it had spent.
        """
        course = self._course(context, order, self.admission.number(), may_move=may_move)
        try:
            if context.failures:
                await self.come_back(course)
            while True:
                permit = await self.admit(course, scope)
                response = await self.attempt(course, permit, scope, record)
                if response is not None:
                    return response
        except BaseException as error:
            course.leave(error, course.response, write_off)
            raise

    async def attempt(
        self, course: Course, permit: Permit, scope: LoopScope, record: Record | None
    ) -> APIResponse[object] | None:
        """Send once. None: it failed, and it is time for the next; raises a final error."""
        scope.permits.add(permit)
        try:
            if record is not None:
                await _intend(record, permit.state.route.id, course.sends + 1)
            request = self.request(course, permit, scope)
            raw = await request.execute_once()
            if course.context.output_schema is not None:
                raw = shape.fitted(raw, course.context)
            response = course.finish(raw, permit, self.clock.now())
            self.succeed(permit, response, raw.reply)
            if record is not None:
                await record.answer(response, raw.reply)
        except ProviderError as error:
            await self.after(course, permit, error, record)
            return None
        except BaseException as error:
            if not permit.is_over:
                self.break_off(course, permit, error, record)
            raise
        else:
            return response
        finally:
            scope.permits.discard(permit)

    def request(self, course: Course, permit: Permit, scope: LoopScope) -> ProviderRequest:
        """The request of the attempt that begins now."""
        context, route = course.context, permit.state.route
        permit.send = course.sends = course.sends + 1
        timeout = self.time_left(course, self._timeout)
        gate = Gate(self, course, permit)
        exchange = HttpExchange(scope.transport, route, timeout, gate)
        if permit.state.params is not None:
            context = replace(context, params=permit.state.params | context.params)
        if context.failures:
            context = context.with_feedback()
        return self._bind(context, route, exchange)

    # Admission: in, and out again.

    async def admit(self, course: Course, scope: LoopScope) -> Permit:
        """Wait for the first of the request's routes that has room for it."""
        permit = None
        while permit is None:
            if course.sends:
                course.measure()
            now, order = self.clock.now(), course.order
            with self.admission.lock:
                permit = self.admission.try_admit(order, course.cost, now)
                if permit is not None:
                    break
                future: asyncio.Future[Permit] = scope.loop.create_future()
                waiter = Waiter(order, course.cost, course.number, future, scope)
                waiter.is_fresh = not (course.sends or course.context.failures)
                self.admission.enqueue(waiter, now)
            try:
                permit = await self._wait(waiter, course, scope)
            except NoRouteError:
                if not course.has_route:
                    raise course.no_route() from None
                # Those it waited for are gone, others are not.
        if permit.is_probe:
            self.tell_standing(permit.state)
        return permit

    async def _wait(self, waiter: Waiter, course: Course, scope: LoopScope) -> Permit:
        expiry = None
        try:
            if course.context.deadline is not None:
                left = self.time_left(course, course.context.deadline)
                expiry = scope.loop.call_later(left, _expire, waiter)
            permit = await waiter.future
        except BaseException as error:
            undo(error, self.admission.lock, self._abandon, (waiter, course))
            if isinstance(error, TimeoutError):
                raise course.expired() from None
            raise
        else:
            scope.grow()
            return permit
        finally:
            if expiry is not None:
                expiry.cancel()

    def _abandon(self, left: tuple[Waiter, Course]) -> None:
        waiter, course = left
        now = self.clock.now()
        with self.admission.lock:
            permit = waiter.permit
            course.awaited = course.awaited or binding.awaited(self.admission, waiter, now)
            self.admission.leave(waiter, now)
        if permit is not None:
            self.withdraw(permit)


async def _intend(record: Record, route: str, number: int) -> None:
    """Return when the intent is in the file. Cancelled before, send ``number`` never was.

    Left in any other way (its loop was closed) it stays: a resume counts one send too many.
    """
    try:
        await record.intent(route, number)
    except asyncio.CancelledError:
        with suppress(JournalError):
            record.withdraw(number, "cancelled")
        raise


def _expire(waiter: Waiter) -> None:
    if not waiter.future.done():
        waiter.future.set_exception(TimeoutError())
