"""Where one request stands between its attempts: what it may still try, and what it has met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import Charged, RateLimitError, RunStoppedError
from headrace.core.response import APIResponse
from headrace.engine.admission import check_size, no_route
from headrace.policy import reservation
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.errors import HeadraceError, ProviderError
    from headrace.engine.admission import Lanes, Permit
    from headrace.engine.scope import RouteState


class Course:
    """Where one request stands between its attempts."""

    __slots__ = ("_banned", "_failed", "_lanes", "context", "number", "sends", "tokens")

    def __init__(self, context: RequestContext, lanes: Lanes, number: int, tokens: int) -> None:
        self.context = context
        self.number = number
        self.tokens = tokens
        self.sends = 0
        self._lanes = lanes
        self._failed: tuple[RouteState, ...] = ()
        self._banned: tuple[RouteState, ...] = ()

    def eligible(self) -> Lanes:
        """Routes to try next: those that have not failed this request, when there are any."""
        if not self._failed and not self._banned:
            return self._lanes
        allowed = tuple(s for s in self._lanes if s not in self._banned)
        fresh = tuple(s for s in allowed if s not in self._failed and s.gone is None)
        return fresh or allowed

    def turn_away(self, state: RouteState, error: ProviderError) -> bool:
        """Remember the failure; True when a healthy route is left that has not failed."""
        if isinstance(error, RateLimitError):
            return False
        self._failed = (*self._failed, state)
        if not error.repeat_here:
            self._banned = (*self._banned, state)
        return any(s not in self._failed and s.gone is None for s in self._lanes)

    def fail(self, error: ProviderError, state: RouteState, *, counted: bool) -> None:
        """Go on with the next context; what a failed attempt was billed is not forgotten."""
        price = state.route.model.price
        billed = 0 if price is None or error.usage is None else price.cost(error.usage)
        self.context = self.context.after(error, counted=counted, billed=billed)
        error.spent_nanos = self.context.spent_nanos or None

    def last_error(self, error: ProviderError) -> HeadraceError:
        """The final error; it carries those before it."""
        live = [s for s in self._lanes if s.gone is None]
        if not live and self.context.model is None and not isinstance(error, RunStoppedError):
            stop = no_route(self._lanes)
            stop.history = self.context.failures
            return stop
        error.history = tuple(e for e in self.context.failures if e is not error)
        return error

    def finish(self, raw: APIResponse[object], permit: Permit, now: int) -> APIResponse[object]:
        """The answer as the caller will see it; its raw reply is recorded apart."""
        context, route = self.context, permit.state.route
        price = route.model.price
        cost = None
        if price is not None and raw.usage is not None:
            cost = price.cost(raw.usage) + context.spent_nanos
        return APIResponse(
            id=context.name,
            index=context.index,
            sample=context.sample,
            tags=context.tags,
            completion=raw.completion,
            thinking=raw.thinking,
            tool_calls=raw.tool_calls,
            parsed=raw.parsed,
            usage=raw.usage,
            cost_nanos=cost,
            finish_reason=raw.finish_reason,
            model=raw.model or route.model.name,
            provider=route.endpoint.name,
            route=route.id,
            request_id=raw.request_id,
            metadata=raw.metadata,
            attempts=self.sends,
            uncertain_attempts=uncertain(context.failures) if context.failures else 0,
            latency=(now - permit.admitted_at) / SECOND,
        )


def uncertain(failures: tuple[HeadraceError, ...]) -> int:
    """How many of these attempts may have been charged though nothing could be read."""
    return sum(error.charged is Charged.UNKNOWN for error in failures)


def tokens_to_reserve(context: RequestContext, lanes: Lanes) -> int:
    """What to reserve: input and declared output, where a limit counts tokens at all."""
    if not lanes[0].has_token_limit and not any(state.has_token_limit for state in lanes):
        return 0
    needed = reservation.input_tokens(context.conversation)
    check_size(lanes, needed)
    declared = None if context.params is None else context.params.max_tokens
    return needed + reservation.output_tokens(declared, lanes[0].route.model.max_output_tokens)
