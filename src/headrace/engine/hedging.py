"""Requests that take long are sent a second time; ``engine.race`` says how one of them goes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from headrace.core.errors import ProviderError, RateLimitError
from headrace.core.tools import VendorTool
from headrace.engine.attempt import Sender
from headrace.engine.course import Course
from headrace.engine.hedge_book import Book
from headrace.engine.leaving import undo
from headrace.engine.race import Race

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, TypeAlias

    from headrace.core.context import RequestContext
    from headrace.core.errors import HeadraceError
    from headrace.core.hedging import HedgeSettings
    from headrace.core.params import SamplingParams
    from headrace.core.response import APIResponse
    from headrace.engine.admission import Permit
    from headrace.engine.leaving import WriteOff
    from headrace.engine.loops import LoopScope
    from headrace.engine.order import Order
    from headrace.engine.outcomes import Record
    from headrace.engine.refusals import Refusal
    from headrace.engine.scope import RouteState
    from headrace.policy import retry

    Answer: TypeAlias = APIResponse[object] | None

# Of a body's own fields those that may do more than answer.
_EFFECTS: Final = frozenset({"tools", "mcp_servers", "conversation"})


def is_once(context: RequestContext, of_model: SamplingParams | None) -> bool:
    """Must it not be sent twice: was it refused, or may it do more than be answered?

    ``of_model``: what is asked of the model of its first route alone.
    """
    if any(map(_is_refusal, context.failures)):
        return True
    for params in (context.params, of_model):
        if params is not None and params.extra_body and _EFFECTS & params.extra_body.keys():
            return True
    return any(isinstance(tool, VendorTool) for tool in context.tools)


def _is_refusal(error: HeadraceError) -> bool:
    status = getattr(error, "status", None) or 0
    return isinstance(error, RateLimitError) or 400 <= status < 500  # noqa: PLR2004  the 4xx


class HedgedSender(Sender):
    """Sends what takes long a second time, where that may help and there is money for it."""

    def __init__(self, *, hedge: HedgeSettings, **given: Any) -> None:
        """``given``: as for ``Sender``."""
        super().__init__(**given)
        self.book = Book(hedge)
        self._course = partial(HedgedCourse, self)

    async def attempt(
        self, course: Course, permit: Permit, scope: LoopScope, record: Record | None
    ) -> Answer:
        """See ``Sender``."""
        own = permit.state.params
        if not isinstance(course, HedgedCourse) or is_once(course.context, own):
            return await self.send(course, permit, scope, record)
        scope.permits.add(permit)
        race = course.race = Race(self, course, permit, scope, record)
        try:
            await race.run()
        except BaseException as end:
            if race.verdict is not None:
                undo(end, self.admission.lock, self.give_back, race.verdict[1])
            raise
        finally:
            scope.permits.discard(permit)
            course.race = None
        if race.verdict is not None:
            if course.response is None:
                await self.go_on(course, *race.verdict)
            else:
                self.give_back(race.verdict[1])
        return course.response

    def send(
        self, course: Course, permit: Permit, scope: LoopScope, record: Record | None
    ) -> Coroutine[object, object, Answer]:
        """One copy, which goes the way of any attempt."""
        return super().attempt(course, permit, scope, record)

    def decide(
        self,
        course: Course,
        state: RouteState,
        error: ProviderError,
        refusal: Refusal,
        *,
        forgiven: bool,
    ) -> retry.Decision:
        """See ``Outcomes``; of a race one failure costs an attempt."""
        race = _race_of(course)
        if race is None:
            return super().decide(course, state, error, refusal, forgiven=forgiven)
        before = course.context.attempts
        forgiven = forgiven or race.is_counted
        decision = super().decide(course, state, error, refusal, forgiven=forgiven)
        race.is_counted = race.is_counted or course.context.attempts > before
        return decision

    async def go_on(self, course: Course, error: ProviderError, decision: retry.Decision) -> None:
        """See ``Outcomes``; a race goes on when both copies have ended."""
        race = _race_of(course)
        if race is None:
            await super().go_on(course, error, decision)
        else:
            race.note(error, decision)


class HedgedCourse(Course):
    """Where a request stands that may be under way twice; ``race``: of the attempt of now."""

    __slots__ = ("_sender", "race")

    def __init__(
        self,
        sender: HedgedSender,
        context: RequestContext,
        order: Order,
        number: int,
        *,
        may_move: bool = False,
    ) -> None:
        super().__init__(context, order, number, may_move=may_move)
        self._sender = sender
        self.race: Race | None = None

    def leave(
        self, error: BaseException, response: APIResponse[object] | None, write_off: WriteOff
    ) -> None:
        """See ``Course``; the last failure may not be that of the last send."""
        if isinstance(error, ProviderError) and response is None:
            error.attempt = self.sends or None
        super().leave(error, response, write_off)

    def finish(self, raw: APIResponse[object], permit: Permit, now: int) -> APIResponse[object]:
        """See ``Course``; the copy that comes here first wins."""
        first: Permit | None = permit
        if self.race is not None:
            first = self.race.win(permit)
        response = super().finish(raw, permit, now)
        with self._sender.admission.lock:
            if first is not None:
                self._sender.book.take(first, now)
            self._sender.book.earn(permit)
        return response


def _race_of(course: Course) -> Race | None:
    return course.race if isinstance(course, HedgedCourse) else None
