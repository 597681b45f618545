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
from headrace.core.errors import (
    ConnectionLostError,
    HeldBackError,
    JournalError,
    NoRouteError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitError,
    RejectedError,
    RequestError,
    RunStoppedError,
)
from headrace.core.events import AttemptFailed, BreakerChanged, RouteParked
from headrace.engine import health
from headrace.engine.admission import Admission, Permit, Waiter
from headrace.engine.course import Course
from headrace.engine.gate import Gate
from headrace.engine.leaving import undo
from headrace.policy import retry
from headrace.policy.buckets import SECOND
from headrace.wire import failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from headrace.adapters.clock import Clock
    from headrace.core.context import RequestContext
    from headrace.core.errors import HeadraceError
    from headrace.core.events import Event
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.engine.admission import Lanes
    from headrace.engine.leaving import WriteOff
    from headrace.engine.loops import LoopScope
    from headrace.engine.scope import RouteState
    from headrace.providers.base import Exchange, ProviderRequest


class Bind(Protocol):
    """Which request class serves a route; the engine knows no vendor."""

    def __call__(
        self, context: RequestContext, route: Route, exchange: Exchange, /
    ) -> ProviderRequest:
        """One request object for one attempt."""


class Record(Protocol):
    """Where a request's paid replies are written before anybody sees them."""

    async def intent(self, route: str, number: int) -> None:
        """Send ``number`` is about to happen: when this is done, and not before."""

    def withdraw(self, number: int, code: str) -> None:
        """Send ``number`` never left."""

    def answer(self, response: APIResponse[object], reply: Reply | None) -> Awaitable[None]:
        """An answer came; done when it is safe."""

    async def failure(self, route: str, number: int, error: ProviderError) -> None:
        """Send ``number`` failed; a reply that may have been paid for is kept."""


class Sender:
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
        self.admission = Admission()
        self.clock = clock
        self.listeners: list[Callable[[Event], None]] = []
        self._bind = bind
        self._chance = chance
        self._budget = retry.RetryBudget()
        self._max_attempts = max_attempts
        self._timeout = request_timeout
        self._patience = int(patience * SECOND)

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
        lanes: Lanes,
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
        course = Course(context, lanes, self.admission.number(), may_move=may_move)
        response = None
        try:
            while True:
                permit = await self._admit(course, scope)
                scope.permits.add(permit)
                try:
                    response, reply = await self._send(course, permit, scope, record)
                except ProviderError as error:
                    await self._after(course, permit, error, record)
                except BaseException as error:
                    self._break_off(course, permit, error, record)
                    raise
                else:
                    self._succeed(permit, response)
                    if record is not None:
                        await record.answer(response, reply)
                    return response
                finally:
                    scope.permits.discard(permit)
        except BaseException as error:
            course.leave(error, response, write_off)
            raise

    async def _send(
        self, course: Course, permit: Permit, scope: LoopScope, record: Record | None
    ) -> tuple[APIResponse[object], Reply | None]:
        context, route = course.context, permit.state.route
        if record is not None:
            await _intend(record, route.id, course.sends + 1)
        course.sends += 1
        timeout = self._time_left(course, self._timeout)
        exchange = HttpExchange(scope.transport, route, timeout, Gate(self, permit))
        if permit.state.params is not None:
            context = replace(context, params=permit.state.params | context.params)
        raw = await self._bind(context, route, exchange).execute_once()
        return course.finish(raw, permit, self.clock.now()), raw.reply

    # Admission: in, and out again.

    async def _admit(self, course: Course, scope: LoopScope) -> Permit:
        now = self.clock.now()
        lanes = course.eligible(now)
        with self.admission.lock:
            permit = self.admission.try_admit(lanes, course.tokens, now)
            if permit is not None:
                return permit
            future: asyncio.Future[Permit] = scope.loop.create_future()
            waiter = Waiter(lanes, course.tokens, course.number, future, scope)
            self.admission.enqueue(waiter, now)
        try:
            return await self._wait(waiter, course, scope)
        except NoRouteError:
            if not course.has_route:
                raise course.no_route() from None
        return await self._admit(course, scope)  # those it waited for are gone, others are not

    async def _wait(self, waiter: Waiter, course: Course, scope: LoopScope) -> Permit:
        expiry = None
        try:
            if course.context.deadline is not None:
                left = self._time_left(course, course.context.deadline)
                expiry = scope.loop.call_later(left, _expire, waiter, course)
            return await waiter.future
        except BaseException as error:
            undo(error, self._abandon, waiter)
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def _abandon(self, waiter: Waiter) -> None:
        with self.admission.lock:
            permit = waiter.permit
            self.admission.leave(waiter, self.clock.now())
        if permit is not None:
            self._withdraw(permit)

    def _break_off(
        self, course: Course, permit: Permit, error: BaseException, record: Record | None
    ) -> None:
        """An attempt has no outcome: it never left, was cancelled, or met something unforeseen."""
        if isinstance(error, RequestError | RunStoppedError):
            self._unsend(course, permit, error, record)
        else:
            undo(error, self._settle if course.is_sending else self._withdraw, permit)

    def _unsend(
        self, course: Course, permit: Permit, error: HeadraceError, record: Record | None
    ) -> None:
        self._withdraw(permit)
        if record is not None and course.is_sending:
            record.withdraw(course.sends, error.code)
        course.unsend()

    def _withdraw(self, permit: Permit) -> None:
        """Nothing was sent: everything that was reserved goes back."""
        now = self.clock.now()
        with self.admission.lock:
            permit.withdraw(now)
            self.admission.pump(now)

    def _settle(self, permit: Permit) -> None:
        """Cancelled, or something unforeseen: what was reserved counts as spent."""
        now = self.clock.now()
        with self.admission.lock:
            permit.settle(now)
            self.admission.pump(now)

    def _succeed(self, permit: Permit, response: APIResponse[object]) -> None:
        now = self.clock.now()
        used = None if response.usage is None else response.usage.total_tokens
        with self.admission.lock:
            closed = health.succeed(permit.state, now)
            permit.leave(now, sent=True, used=used)
            self._budget.succeed()
            self.admission.pump(now)
        if closed:
            self.tell(BreakerChanged(permit.state.route.id, "closed"))

    # Failure.

    def hear(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """The head of a refusal has come: park the route if it asks for quiet."""
        hint = failure.hint(headers, status)
        if status != failure.TOO_MANY_REQUESTS and not hint:
            return
        now = self.clock.now()
        with self.admission.lock:
            parked = health.park(permit, hint, now, self._chance())
            self.admission.pump(now)
        if parked:
            self._tell_parked(permit.state, now)

    async def _after(
        self, course: Course, permit: Permit, error: ProviderError, record: Record | None
    ) -> None:
        """A failed attempt: settle, record what was paid, decide; returns when it is time again."""
        if isinstance(error, HeldBackError) or _is_local(error):
            self._unsend(course, permit, error, record)
            if isinstance(error, HeldBackError):
                return
            raise course.last_error(error)
        if isinstance(error, OutcomeUnknownError) and self._is_late(course.context):
            self._cut(course, permit, error)
            raise course.expired()
        decision = self._judge(course, permit, error)
        if record is not None:
            await record.failure(permit.state.route.id, course.sends, error)
        wait = None if isinstance(decision, retry.GiveUp) else decision.wait
        self.tell(
            AttemptFailed(course.context.name, error, None if wait is None else wait / SECOND)
        )
        if isinstance(decision, retry.GiveUp):
            raise course.last_error(error)
        if decision.wait:
            await asyncio.sleep(self._time_left(course, decision.wait / SECOND))
        if course.may_move and not isinstance(error, RateLimitError):
            raise course.moved_on()

    def _cut(self, course: Course, permit: Permit, error: ProviderError) -> None:
        """The request's own deadline ended the attempt: that says nothing about the route."""
        error.route, error.attempt = permit.state.route.id, course.sends
        course.fail(error, permit.state, counted=True)
        self._settle(permit)

    def _judge(
        self, course: Course, permit: Permit, error: ProviderError
    ) -> retry.Retry | retry.GiveUp:
        now, state = self.clock.now(), permit.state
        error.route, error.attempt = state.route.id, course.sends
        with self.admission.lock:
            before = (state.breaker.state, state.gone, state.parked_until)
            forgiven = health.fail(permit, error, now, self._chance(), self._patience)
            permit.leave(now, sent=error.code != "not_sent", used=_used(error))
            after = (state.breaker.state, state.gone, state.parked_until)
            self.admission.pump(now)
        if before != after:
            self._tell_change(state, now, parked=before[2] != after[2])
        course.number = self.admission.number()  # probes and refusals rotate over prompts
        # Servers close kept connections just as they are used; the first time it costs nothing.
        if isinstance(error, ConnectionLostError) and not course.lost:
            course.lost = forgiven = True
        return self._decide(course, state, error, forgiven=forgiven)

    def _decide(
        self, course: Course, state: RouteState, error: ProviderError, *, forgiven: bool
    ) -> retry.Retry | retry.GiveUp:
        now = self.clock.now()
        elsewhere = course.turn_away(state, error, now) or course.may_move
        decision = retry.decide(
            error,
            attempts=course.context.attempts,
            singled_out=course.singled_out,
            is_overdue=now - course.refused_since > self._patience,
            max_attempts=self._max_attempts,
            forgiven=forgiven,
            elsewhere=elsewhere,
            unheard=not state.answered,
            chance=self._chance(),
        )
        counted = not forgiven
        course.fail(error, state, counted=counted)
        if isinstance(decision, retry.GiveUp) or not counted:
            return decision
        with self.admission.lock:
            delay = self._budget.draw(now)
        return retry.Retry(max(decision.wait, delay), decision.counted)

    def _time_left(self, course: Course, most: float) -> float:
        """Seconds to spend: at most ``most``, and not beyond the deadline, which may be now."""
        context = course.context
        if context.deadline is None:
            return most
        left = context.deadline - (self.clock.now() - context.born_at) / SECOND
        if left <= 0:
            raise course.expired()
        return min(most, left)

    def _is_late(self, context: RequestContext) -> bool:
        if context.deadline is None:
            return False
        return (self.clock.now() - context.born_at) / SECOND >= context.deadline

    def tell(self, event: Event) -> None:
        """Let the listeners know; they cannot change what happens."""
        for listener in self.listeners:
            listener(event)

    def _tell_parked(self, state: RouteState, now: int) -> None:
        self.tell(RouteParked(state.route.id, (state.parked_until - now) / SECOND))

    def _tell_change(self, state: RouteState, now: int, *, parked: bool) -> None:
        if parked:
            self._tell_parked(state, now)
        else:
            name = "gone" if state.gone is not None else state.breaker.state.value
            self.tell(BreakerChanged(state.route.id, name))


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


def _used(error: ProviderError) -> int | None:
    """Tokens to charge for a failed attempt: none where nothing began, else what was reserved."""
    if error.usage is not None:
        return error.usage.total_tokens
    return 0 if error.charged == "no" else None


def _is_local(error: ProviderError) -> bool:
    """Was the request refused by the codec, before anything was sent?"""
    return isinstance(error, RejectedError) and error.status is None and error.reply is None


def _expire(waiter: Waiter, course: Course) -> None:
    if not waiter.future.done():
        waiter.future.set_exception(course.expired())
