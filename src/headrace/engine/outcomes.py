"""What follows from an attempt: settle what it reserved, let its route know, decide what is next.

``Outcomes`` belongs to the client, with the decisions of all runs and event loops.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from headrace.core.errors import (
    ConnectionLostError,
    HeldBackError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitError,
    RequestError,
    RunStoppedError,
)
from headrace.core.events import AttemptFailed, BreakerChanged, RouteParked
from headrace.engine import health, refusals
from headrace.engine.admission import Admission, Permit
from headrace.engine.course import is_local, time_left
from headrace.engine.leaving import undo
from headrace.policy import retry
from headrace.policy.buckets import SECOND
from headrace.policy.cost import NOTHING, ONE, spent
from headrace.wire import failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from headrace.adapters.clock import Clock
    from headrace.core.context import RequestContext
    from headrace.core.errors import HeadraceError
    from headrace.core.events import Event
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.engine.course import Course
    from headrace.engine.refusals import Refusal
    from headrace.engine.scope import RouteState
    from headrace.policy.cost import Cost


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


class Outcomes:
    """What is decided when an attempt has ended, in whatever way."""

    def __init__(
        self, *, clock: Clock, chance: Callable[[], float], max_attempts: int, patience: float
    ) -> None:
        """``patience`` in seconds; ``chance`` rolls from [0, 1)."""
        self._patience = int(patience * SECOND)
        self.admission = Admission(self._patience)
        self.clock = clock
        self.listeners: list[Callable[[Event], None]] = []
        self._chance = chance
        self._budget = retry.RetryBudget()
        self.max_attempts = max_attempts

    def break_off(
        self, course: Course, permit: Permit, error: BaseException, record: Record | None
    ) -> None:
        """An attempt has no outcome: it never left, was cancelled, or met something unforeseen."""
        if isinstance(error, RequestError | RunStoppedError):
            self._unsend(course, permit, error, record)
        else:
            give = self._settle if permit.send else self.withdraw
            undo(error, self.admission.lock, give, permit)

    def _unsend(
        self, course: Course, permit: Permit, error: HeadraceError, record: Record | None
    ) -> None:
        self.withdraw(permit)
        if not permit.send:
            return
        if record is not None:
            record.withdraw(permit.send, error.code)
        course.sends -= 1
        permit.send = 0

    def withdraw(self, permit: Permit) -> None:
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

    def succeed(self, permit: Permit, response: APIResponse[object], reply: Reply | None) -> None:
        """An answer came: the route is well, and what was not used goes back."""
        now = self.clock.now()
        used = None if response.usage is None else spent(response.usage)
        hearing, limits = permit.state.account.hearing, None
        if hearing is not None and reply is not None and hearing.is_news(permit.admitted_at, now):
            limits = failure.read_limits(reply.headers)
        with self.admission.lock:
            took = now - permit.admitted_at
            permit.state.tally.succeed(response.usage, permit.billed, took, now)
            permit.leave(now, used)
            size = 0 if response.usage is None else response.usage.output_tokens
            closed = health.succeed(permit, now, size)
            if limits is not None:
                permit.state.hear(limits, permit, now, self._patience)
            self._budget.succeed()
            self.admission.pump(now)
        if closed or limits is not None:
            self.tell_standing(permit.state)

    # Failure.

    def hear(self, course: Course, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """The head of a refusal has come: park the route if it asks for quiet."""
        hint = failure.hint(headers, status)
        if status != failure.TOO_MANY_REQUESTS and not hint:
            return
        now = self.clock.now()
        with self.admission.lock:
            if refusals.is_apart(course, permit, now):
                return
            parked = health.park(permit, hint, now, self._chance())
            self.admission.pump(now)
        if parked:
            self._tell_parked(permit.state, now)

    async def after(
        self, course: Course, permit: Permit, error: ProviderError, record: Record | None
    ) -> None:
        """A failed attempt: settle, record what was paid, decide; returns when it is time again."""
        if isinstance(error, HeldBackError) or is_local(error):
            self._unsend(course, permit, error, record)
            if not isinstance(error, HeldBackError):
                self._elsewhere(course, permit, error)
            return
        if isinstance(error, OutcomeUnknownError) and self.is_late(course.context):
            self._cut(course, permit, error)
            raise course.expired()
        decision = self._judge(course, permit, error)
        if record is not None:
            written = record.failure(permit.state.route.id, permit.send, error)
            await self._or_give_back(decision, written)
        wait = None if isinstance(decision, retry.GiveUp) else decision.wait / SECOND
        self.tell(AttemptFailed(course.context.name, error, wait))
        await self.go_on(course, error, decision)

    async def go_on(self, course: Course, error: ProviderError, decision: retry.Decision) -> None:
        """Return when it is time again, or raise what was decided after ``error``."""
        if isinstance(decision, retry.GiveUp):
            raise course.last_error(error)
        if decision.wait:
            await self._or_give_back(decision, self._pause(course, decision.wait / SECOND))
        if course.may_move and not isinstance(error, RateLimitError):
            raise course.moved_on()

    async def _or_give_back(self, decision: retry.Decision, going: Awaitable[None]) -> None:
        """Left meanwhile, the retry is not made, and was not paid for if it costs no attempt."""
        try:
            await going
        except BaseException as end:
            undo(end, self.admission.lock, self.give_back, decision)
            raise

    def give_back(self, decision: retry.Decision) -> None:
        """What was decided is not done: if it is a retry that was paid for, it costs nothing."""
        if isinstance(decision, retry.Retry) and decision.counted:
            with self.admission.lock:
                self._budget.give_back()

    async def come_back(self, course: Course) -> None:
        """Wait where other models have failed too, and it is back at those that had before."""
        if course.comes_back(self.clock.now()):
            wait = retry.transient(course.context.attempts, self._chance())
            await self._pause(course, wait)

    async def _pause(self, course: Course, seconds: float) -> None:
        """Wait before a repetition; raises the final error where the deadline comes first."""
        course.awaited = "before it could be asked again"
        left = self.time_left(course, seconds)
        await asyncio.sleep(left)
        if left < seconds:
            raise course.expired()
        course.awaited = ""

    def _elsewhere(self, course: Course, permit: Permit, error: ProviderError) -> None:
        """The codec refused, and another one may not: go there, or raise the refusal."""
        error.route, error.attempt = permit.state.route.id, course.sends or None
        has_route = course.turn_away_model(permit.state)
        if not has_route and not course.may_move:
            raise course.last_error(error)
        course.fail(error, permit.state, counted=False)
        if not has_route:
            raise course.moved_on()

    def end(self, course: Course, permit: Permit, error: ProviderError) -> None:
        """A stream broke off after its consumer had begun to read: the error is final."""
        self._judge(course, permit, error)
        self.tell(AttemptFailed(course.context.name, error, None))

    def _cut(self, course: Course, permit: Permit, error: ProviderError) -> None:
        """The request's own deadline ended the attempt: that says nothing about the route."""
        error.route, error.attempt = permit.state.route.id, permit.send
        course.awaited = f"while {error.route} had not answered"
        course.fail(error, permit.state, counted=True)
        permit.state.tally.fail(error, 0, self.clock.now())
        self._settle(permit)

    def _judge(self, course: Course, permit: Permit, error: ProviderError) -> retry.Decision:
        now, state = self.clock.now(), permit.state
        error.route, error.attempt = state.route.id, permit.send
        billed = state.pricing.billed(error)
        with self.admission.lock:
            parked_until = state.account.parked_until
            is_fed = self.admission.is_fed()
            refusal = refusals.judge(course, permit, error, now, is_fed=is_fed)
            forgiven = health.fail(
                permit,
                error,
                now,
                self._chance(),
                self._patience,
                is_fed=is_fed,
                refusal=refusal,
            )
            permit.leave(now, _used(error))
            state.tally.fail(error, billed, now)
            is_parked = state.account.parked_until != parked_until
            standing = state.standing
            self.admission.pump(now)
        if is_parked:
            self._tell_parked(state, now)
        self.tell_standing(state, standing)
        course.number = self.admission.number()  # probes and refusals rotate over prompts
        # Servers close kept connections just as they are used; the first time it costs nothing.
        if isinstance(error, ConnectionLostError) and not course.lost:
            course.lost = forgiven = True
        return self.decide(course, state, error, refusal, forgiven=forgiven)

    def decide(
        self,
        course: Course,
        state: RouteState,
        error: ProviderError,
        refusal: Refusal,
        *,
        forgiven: bool,
    ) -> retry.Decision:
        """What is next after ``error``; ``forgiven``: it costs no attempt."""
        now = self.clock.now()
        elsewhere = course.turn_away(state, error, now) or course.may_move
        decision = retry.decide(
            error,
            attempts=course.context.attempts,
            apart=max(1, course.singled_out) if refusal.is_apart else 0,
            is_overdue=refusals.is_over(
                refusal, course, state, error, now=now, most=self._patience
            ),
            max_attempts=self.max_attempts,
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

    def time_left(self, course: Course, most: float) -> float:
        """Seconds to spend: at most ``most``, and not beyond the deadline, which may be now."""
        if course.context.deadline is None:
            return most
        left = time_left(course.context, self.clock.now()) or 0
        if left <= 0:
            raise course.expired()
        return min(most, left)

    def is_late(self, context: RequestContext) -> bool:
        """Has its deadline passed?"""
        left = time_left(context, self.clock.now())
        return left is not None and left <= 0

    def tell(self, event: Event) -> None:
        """Let the listeners know; they cannot change what happens."""
        for listener in self.listeners:
            listener(event)

    def _tell_parked(self, state: RouteState, now: int) -> None:
        self.tell(RouteParked(state.route.id, (state.account.parked_until - now) / SECOND))

    def tell_standing(self, state: RouteState, standing: str | None = None) -> None:
        """Let the listeners know how a route stands (now), if that is news to them."""
        standing = standing or state.standing
        if standing != state.told:
            state.told = standing
            self.tell(BreakerChanged(state.route.id, standing))


def _used(error: ProviderError) -> Cost | None:
    """What to charge for a failed attempt: no tokens where nothing began, else what was reserved.

    What a stream had used when it broke off is not what it will have used in the end.
    """
    if error.code == "not_sent":
        return NOTHING
    if error.usage is not None and not isinstance(error, OutcomeUnknownError):
        return spent(error.usage)
    return ONE if error.charged == "no" else None
