"""Where one request stands between its attempts: what it may still try, and what it has met."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from headrace.core.errors import (
    AllRoutesLateError,
    Charged,
    CutOffError,
    DeadlineError,
    GoneError,
    HeadraceError,
    InvalidOutputError,
    NotSentError,
    OutcomeUnknownError,
    ProviderError,
    RateLimitError,
    RejectedError,
)
from headrace.core.response import APIResponse, Usage
from headrace.engine.admission import fitting, no_route
from headrace.engine.remembered import favouring
from headrace.policy import reservation
from headrace.policy.buckets import SECOND
from headrace.policy.cost import ONE, cost

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.engine.admission import Permit
    from headrace.engine.leaving import WriteOff
    from headrace.engine.order import Lanes, Order
    from headrace.engine.scope import RouteState
    from headrace.policy.cost import Cost


class MovedOn(Exception):  # noqa: N818  no error: the request goes on elsewhere
    """A request leaves its model for another one, with what it has been through."""

    def __init__(self, context: RequestContext, banned: Lanes) -> None:
        super().__init__()
        self.context = context
        self.banned = banned


class Course:
    """Where one request stands between its attempts."""

    __slots__ = (
        "_banned",
        "_estimated",
        "_failed",
        "_lanes",
        "_order",
        "awaited",
        "context",
        "cost",
        "lost",
        "may_move",
        "number",
        "refused_at",
        "refused_by",
        "refused_since",
        "response",
        "sends",
        "singled_out",
    )

    def __init__(
        self, context: RequestContext, order: Order, number: int, *, may_move: bool = False
    ) -> None:
        """``number``: its place in the order of asking; raises ``TooLargeError``.

        ``may_move``: other models are left for it, beside those that ``order`` leads to.
        """
        self.may_move = may_move
        self.context = context
        self.number = number
        self.sends = sent(context.failures)
        self.lost = False
        # What it was about when it was left, or ran out of its time; empty: nobody has said.
        self.awaited = ""
        self.response: APIResponse[object] | None = None
        self.singled_out = self.refused_since = self.refused_at = 0
        self.refused_by: RouteState | None = None
        self._order, self.cost, self._estimated = favouring(order, context), ONE, 0
        self.measure()
        self._failed = _failed_before(context, self._lanes) if context.failures else ()
        self._banned: tuple[RouteState, ...] = ()

    def measure(self) -> None:
        """What it costs, and who has room for it; a server may tell late that it counts tokens."""
        if self.cost is ONE:
            self._order, self.cost, self._estimated = _fit(self.context, self._order)
            self._lanes = self._order.lanes

    @property
    def order(self) -> Order:
        """Routes to try next: first those that have not failed this request."""
        return self._order.last(self._failed, self._banned) if self._failed else self._order

    def comes_back(self, now: int) -> bool:
        """Have all well routes here failed it, before it went to others? Asking is a retry then.

        What moves to another model does so at once; only who comes back has to wait.
        """
        last = next((e for e in reversed(self.context.failures) if not _is_of_others(e)), None)
        if last is None or not last.repeat_here or isinstance(last, InvalidOutputError):
            return False
        return not any(s not in self._failed and s.is_well(now) for s in self._lanes)

    def turn_away(self, state: RouteState, error: ProviderError, now: int) -> bool:
        """Remember the failure; True when there is somewhere else to go.

        What may be repeated here moves only to a healthy route that has not failed; what may not
        goes back even to one that has.
        """
        if isinstance(error, RateLimitError):
            self.singled_out += 0 < self.refused_at < state.last_good
            self.refused_at, self.refused_by = now, state
            self.refused_since = self.refused_since or now
            return False
        if isinstance(error, CutOffError):
            return self._turn_away_bound(state)
        self._failed = (*self._failed, state)
        if error.repeat_here:
            return any(s not in self._failed and s.is_well(now) for s in self._lanes)
        self._banned = (*self._banned, state)
        return self.has_route

    def turn_away_model(self, state: RouteState) -> bool:
        """It is the same for every key of this model; True where another one is left."""
        row, model = state.route.endpoint, state.route.model
        alike = (s for s in self._lanes if s.route.endpoint == row and s.route.model == model)
        self._banned = (*self._banned, *alike)
        self._failed = (*self._failed, *self._banned)
        return self.has_route

    def _turn_away_bound(self, state: RouteState) -> bool:
        """An answer was cut off; True where another model is left that nothing binds as tightly."""
        bound = _bound(self.context, state)
        tight = () if bound is None else (s for s in self._lanes if _within(self.context, s, bound))
        self._banned = (*self._banned, *tight)
        self.may_move = self.may_move and _declared(self.context, None) is None
        return self.turn_away_model(state)

    @property
    def has_route(self) -> bool:
        """Is a route left that is neither gone nor refuses this request?"""
        return any(s not in self._banned and s.gone is None for s in self._lanes)

    def moved_on(self) -> MovedOn:
        """What is raised when it goes on with another model."""
        closed = tuple(s for s in self._lanes if s in self._banned or s.gone is not None)
        return MovedOn(self.context, closed)

    def fail(self, error: ProviderError, state: RouteState, *, counted: bool) -> None:
        """Go on with the next context; what a failed attempt was billed is not forgotten."""
        billed = state.pricing.billed(error)
        self.context = self.context.after(error, counted=counted, billed=billed)
        error.spent_nanos = self.context.spent_nanos or None

    def last_error(self, error: HeadraceError) -> HeadraceError | MovedOn:
        """The final error; where all routes are closed and others are left, it goes on there."""
        if self.context.model is not None or any(s.gone is None for s in self._lanes):
            return error
        return self.moved_on() if self.may_move else no_route(self._lanes)

    def no_route(self) -> HeadraceError | MovedOn:
        """The final error of a request that finds all its routes closed."""
        if self.context.failures:
            return self.last_error(self.context.failures[-1])
        gone = self._lanes[0].gone
        if gone is None or self.context.model is None:
            return self.moved_on() if self.may_move else no_route(self._lanes)
        # A row that names its own model fails alone; the run has others.
        error = type(gone)(gone.message)
        error.route = self._lanes[0].route.id
        return error

    def expired(self) -> DeadlineError:
        """The error of a request that ran out of its deadline."""
        return expired(self.context, self.awaited)

    def lose(self, number: int, route: str | None = None) -> None:
        """Nobody will know what became of send ``number``."""
        lost = OutcomeUnknownError("left before its reply came; it may have been charged")
        lost.attempt, lost.route = number, route
        self.context = self.context.after(lost, counted=True)

    def leave(
        self, error: BaseException, response: APIResponse[object] | None, write_off: WriteOff
    ) -> None:
        """The request ends without an answer: what it has been through is on a final ``error``.

        Where that is none (cancelled, a bug) or an answer is lost, ``write_off`` is told.
        """
        if response is not None:
            write_off(response)
        elif isinstance(error, HeadraceError):
            if error.attempt is None:
                error.attempt = self.sends or None
            error.history = tuple(e for e in self.context.failures if e is not error)
            error.spent_nanos = self.context.spent_nanos or None
        elif not isinstance(error, MovedOn):
            for before in range(sent(self.context.failures), self.sends):
                self.lose(before + 1)
                self.awaited = "while its answer was under way"
            write_off(failed(self.context, self.expired()))

    def finish(self, raw: APIResponse[object], permit: Permit, now: int) -> APIResponse[object]:
        """The answer as the caller will see it; its raw reply is recorded apart."""
        context, route = self.context, permit.state.route
        cost = permit.billed = permit.state.pricing.cost(raw, now)
        if cost is not None:
            cost += context.spent_nanos
        if raw.usage is not None:
            permit.state.learning.learn(context, self._estimated, raw.usage)
        self.response = APIResponse(
            id=context.name,
            index=context.index,
            sample=context.sample,
            tags=context.tags,
            completion=raw.completion,
            thinking=raw.thinking,
            tool_calls=raw.tool_calls,
            content=raw.content,
            parsed=raw.parsed,
            usage=raw.usage,
            cost_nanos=cost,
            finish_reason=raw.finish_reason,
            model=raw.model or route.model.name,
            provider=route.endpoint.name,
            route=route.id,
            request_id=raw.request_id,
            metadata=raw.metadata,
            logprobs=raw.logprobs,
            adaptations=raw.adaptations,
            attempts=self.sends - unsent(context.failures) if context.failures else self.sends,
            uncertain_attempts=uncertain(context.failures) if context.failures else 0,
            latency=(now - permit.admitted_at) / SECOND,
        )
        return self.response


def uncertain(failures: tuple[HeadraceError, ...]) -> int:
    """How many of these attempts may have been charged though nothing could be read."""
    attempts = [e for e in failures if isinstance(e, ProviderError) and not _is_billed(e)]
    return sum(error.charged is Charged.UNKNOWN for error in attempts)


def _is_billed(error: ProviderError) -> bool:
    """Does it say itself what was used? What broke off may have used more than it had told."""
    return error.usage is not None and not isinstance(error, OutcomeUnknownError)


def is_local(error: HeadraceError) -> bool:
    """Was the request refused by the codec, before anything was sent?"""
    if not isinstance(error, RejectedError) or error.charged is not Charged.NO:
        return False
    return error.status is None and error.reply is None and error.usage is None


def sent(failures: tuple[HeadraceError, ...]) -> int:
    """How many of these were attempts; a codec's refusal was none."""
    return sum(not is_local(error) for error in failures) if failures else 0


def _is_of_others(error: HeadraceError) -> bool:
    """Did a codec refuse, or a route that is closed? Neither asked anybody who can be asked."""
    return isinstance(error, GoneError) or is_local(error)


def _failed_before(context: RequestContext, lanes: Lanes) -> Lanes:
    """The routes that have failed this request, before it went to others and came back."""
    failures = (e for e in context.failures if not isinstance(e, RateLimitError))
    routes = {error.route for error in failures}
    return tuple(state for state in lanes if state.route.id in routes)


def unsent(failures: tuple[HeadraceError, ...]) -> int:
    """How many of these attempts never left this machine."""
    return sum(isinstance(error, NotSentError) for error in failures)


def time_left(context: RequestContext, now: int) -> float | None:
    """Seconds until the request's deadline, below zero beyond it; None: it has none."""
    if context.deadline is None:
        return None
    return context.deadline - (now - context.born_at) / SECOND


def expired(context: RequestContext, awaited: str = "") -> DeadlineError:
    """The error of a request that ran out of its deadline, when it ``awaited`` something."""
    span = "" if context.deadline is None else f" of {context.deadline:g} s"
    said = f"the deadline{span} passed {awaited or 'before the request was answered'}"
    said += "; give it more time or raise the limits"
    tried = Counter(
        error.route for error in context.failures if error.route and not is_local(error)
    )
    if tried:
        said += f" (attempts: {', '.join(_came_of(route, context.failures) for route in tried)})"
    error = AllRoutesLateError(said) if len(tried) > 1 else DeadlineError(said)
    error.history = context.failures
    error.attempt = sent(context.failures) or None
    error.spent_nanos = context.spent_nanos or None
    return error


def _came_of(route: str | None, failures: tuple[HeadraceError, ...]) -> str:
    codes = Counter(error.code for error in failures if error.route == route)
    return f"{route} {' and '.join(f'{count} {code}' for code, count in codes.items())}"


def failed(context: RequestContext, error: HeadraceError) -> APIResponse[object]:
    """The response of a row that has no answer.

    What an exception holds of the stack (frames, prompts) goes, for as long as failures are kept.
    """
    for each in (error, *error.history):
        each.__traceback__ = each.__context__ = each.__cause__ = None
    usage: Usage | None = getattr(error, "usage", None)
    failures = (*error.history, error)
    sends = error.attempt - unsent(failures) if error.attempt else 0
    return APIResponse(
        id=context.name,
        index=context.index,
        sample=context.sample,
        tags=context.tags,
        usage=usage if error.attempt else None,
        route=error.route,
        cost_nanos=error.spent_nanos,
        attempts=sends,
        uncertain_attempts=uncertain(failures) if error.attempt else 0,
        source="provider" if sends or error.spent_nanos else "none",
        error=error,
    )


def _fit(context: RequestContext, order: Order) -> tuple[Order, Cost, int]:
    """The routes that have room for it, the cost to reserve there, and the input's estimate.

    Input, corrected by what replies have used, and declared output; nothing is reserved where no
    limit counts tokens.
    """
    lanes = order.lanes
    if not lanes[0].counts_tokens and not any(state.counts_tokens for state in lanes):
        return order, ONE, 0
    estimated = reservation.input_tokens(context.asked, context.params, context.schemas)
    needed = lanes[0].learning.correction.of(estimated)
    # Refusing is final: what other prompts have taught must not do it alone.
    fit = fitting(lanes, min(estimated, needed))
    if fit is not lanes:
        order = order.only(lambda state: state in fit)
    declared, most = _declared(context, fit[0]), fit[0].route.model.max_output_tokens
    if not context.writes:
        return order, cost(needed, 0), estimated
    output = _expected(reservation.output_tokens(declared, most), fit)
    return order, cost(needed, output, declared or 0), estimated


def _expected(bound: int, lanes: Lanes) -> int:
    """The output to reserve: what replies there mostly use, unless it is the bound that counts."""
    if any(state.route.endpoint.limits_count == "declared" for state in lanes):
        return bound
    return max(state.learning.output.at_most(bound) for state in lanes)


def _declared(context: RequestContext, state: RouteState | None) -> int | None:
    """The ``max_tokens`` of the request, or what the client asks of that model alone."""
    own = None if state is None else state.params
    params = context.params if own is None else own | context.params
    return None if params is None else params.max_tokens


def _bound(context: RequestContext, state: RouteState) -> int | None:
    """What is known to bound its output there; None: what the server does by itself."""
    return _declared(context, state) or state.route.model.max_output_tokens


def _within(context: RequestContext, state: RouteState, bound: int) -> bool:
    known = _bound(context, state)
    return known is not None and known <= bound
