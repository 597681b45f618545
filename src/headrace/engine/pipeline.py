"""One request, from left to right: journal? cache? in flight? else attempts; then remember.

What is known is answered first, before any permit. Everything that goes wrong with one request
becomes that request's response, here and nowhere else; only what stops the run is raised.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from headrace.adapters.cache import is_storable
from headrace.core import shape
from headrace.core.errors import (
    HeadraceError,
    InvalidOutputError,
    RunStoppedError,
    UnexpectedError,
)
from headrace.core.events import RequestFinished
from headrace.core.response import APIResponse, Source
from headrace.engine.course import MovedOn, expired, failed, time_left
from headrace.engine.leaving import is_cancelled
from headrace.engine.sharing import join
from headrace.engine.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from headrace.adapters.cache import Cache
    from headrace.core.context import RequestContext
    from headrace.core.fingerprint import Key
    from headrace.engine.attempt import Sender
    from headrace.engine.choice import Choice
    from headrace.engine.leaving import WriteOff
    from headrace.engine.loops import LoopScope
    from headrace.engine.order import Order
    from headrace.engine.outcomes import Record

_log = logging.getLogger("headrace")


class Memory(Protocol):
    """A run's journal, as the pipeline sees it."""

    def recall(self, context: RequestContext, key: Key) -> APIResponse[object] | None:
        """What an earlier run, or this one, has already answered for this row."""

    def record(self, context: RequestContext, key: Key) -> Record:
        """Where this row's replies are written before they are handed out."""

    async def remember(
        self, context: RequestContext, key: Key, response: APIResponse[object]
    ) -> None:
        """Write down an outcome that no attempt of this row has recorded."""


class Pipeline:
    """The way of one request; shared by all requests of a run."""

    def __init__(
        self,
        sender: Sender,
        scope: LoopScope,
        *,
        choose: Callable[[RequestContext], Choice],
        occurrence: Callable[[Hashable], int],
        cache: Cache | None,
        shares: bool,
        memory: Memory | None,
        write_off: WriteOff,
    ) -> None:
        """``write_off`` counts what was spent on rows that are not finished."""
        self._sender = sender
        self._attempt = sender.answer
        self._scope = scope
        self._choose = choose
        self._occurrence = occurrence
        self._cache = cache
        self._shares = shares
        self._memory = memory
        self._write_off = write_off
        self._needs_key = memory is not None or cache is not None or shares
        self._logged: set[type[Exception]] = set()

    async def answer(self, context: RequestContext) -> APIResponse[object]:
        """The response for ``context``, good or bad. Raises only what stops the run."""
        try:
            response = await self._answer(context)
        except RunStoppedError as error:
            self._write_off(failed(context, error))
            raise
        except HeadraceError as error:
            response = failed(context, error)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  the one place where a bug becomes a row's error
            response = failed(context, self._unforeseen(context, error))
        if self._sender.listeners:
            self._sender.tell(RequestFinished(response))
        return response

    async def _answer(self, context: RequestContext) -> APIResponse[object]:
        choice = self._choose(context)
        if not choice.is_started:
            await choice.start()
        if context.model is not None and context.model != choice.models[0]:
            context = replace(context, model=choice.models[0])  # an alias may mean another one soon
        if not self._needs_key and choice.weights is None:
            return await self._attempt(context, choice.order, self._scope, None, self._write_off)
        key = context.key
        if self._memory is None and choice.weights is None:
            return await self._ask(context, choice, key)
        occurrence = self._occurrence((key.digest, context.model, context.sample))
        if occurrence:
            context = replace(context, occurrence=occurrence)
        if self._memory is None:
            return await self._ask(context, choice, key)
        return await self._ask_once_ever(context, choice, key, self._memory)

    async def _ask_once_ever(
        self, context: RequestContext, choice: Choice, key: Key, memory: Memory
    ) -> APIResponse[object]:
        """Answer from the journal, or ask and see to it that the outcome is in the journal."""
        known = memory.recall(context, key)
        if known is not None:
            return known
        try:
            return await self._ask(context, choice, key)
        except RunStoppedError:
            raise
        except HeadraceError as error:
            await self._remember(memory, context, key, failed(context, error))
            raise

    # What only passes on is no coroutine: each of them costs something at every step of a request.

    def _ask(
        self, context: RequestContext, choice: Choice, key: Key
    ) -> Coroutine[object, object, APIResponse[object]]:
        if choice.weights is None:
            return self._ask_routes(context, choice.order, key)
        return self._ask_in_turn(context, choice, key)

    async def _ask_in_turn(
        self, context: RequestContext, choice: Choice, key: Key
    ) -> APIResponse[object]:
        """Ask the models in the order in which they are drawn."""
        ways = Ways(choice, context, key)
        while True:
            order, may_move = ways.next()
            try:
                return await self._ask_routes(ways.context, order, key, may_move=may_move)
            except MovedOn as moved:
                ways.move(moved)

    def _ask_routes(
        self, context: RequestContext, order: Order, key: Key, *, may_move: bool = False
    ) -> Coroutine[object, object, APIResponse[object]]:
        if self._cache is not None:
            return self._ask_cache(self._cache, context, order, key, may_move=may_move)
        return self._ask_provider(context, order, key, may_move=may_move)

    def _ask_provider(
        self, context: RequestContext, order: Order, key: Key, *, may_move: bool
    ) -> Coroutine[object, object, APIResponse[object]]:
        if self._shares:
            return self._share(context, order, key, may_move=may_move)
        return self._send(context, order, key, self._write_off, may_move=may_move)

    async def _ask_cache(
        self, cache: Cache, context: RequestContext, order: Order, key: Key, *, may_move: bool
    ) -> APIResponse[object]:
        hit = await self._cached(cache, context, order, key)
        if hit is not None:
            return await self._remembered(context, key, hit)
        return await self._ask_provider(context, order, key, may_move=may_move)

    async def _share(
        self, context: RequestContext, order: Order, key: Key, *, may_move: bool
    ) -> APIResponse[object]:
        # A send belongs to one journal: with another run it would share that run's end, too.
        together: Hashable = (key.digest, order, self._memory)
        free = context if context.deadline is None else replace(context, deadline=None)
        is_sender = False

        def send(write_off: WriteOff) -> Coroutine[object, object, APIResponse[object]]:
            nonlocal is_sender
            is_sender = True
            return self._send(free, order, key, write_off, may_move=may_move)

        flight = join(self._scope, together, send)
        try:
            async with asyncio.timeout(time_left(context, self._sender.clock.now())):
                response, first = await flight.answer()
        except TimeoutError:
            raise (flight.take_error() or expired(context)) from None
        finally:
            flight.settle(self._write_off)
        if isinstance(response, HeadraceError):
            raise response if first else _echo(response)
        # Its own value, of its own type.
        known = response if is_sender else shape.fitted(response, context)
        row = readdress(known, context, "provider" if first else "coalesced")
        # The send itself was recorded for the row that made it, and for no other.
        return row if is_sender else await self._remembered(context, key, row)

    async def _send(
        self,
        context: RequestContext,
        order: Order,
        key: Key,
        write_off: WriteOff,
        *,
        may_move: bool,
    ) -> APIResponse[object]:
        record = None if self._memory is None else self._memory.record(context, key)
        response = await self._attempt(
            context, order, self._scope, record, write_off, may_move=may_move
        )
        try:
            await self._keep(response, key, order)
        except BaseException:
            write_off(response)
            raise
        return response

    async def _keep(self, response: APIResponse[object], key: Key, order: Order) -> None:
        if self._cache is None or not is_storable(response):
            return
        state = next(s for s in order.lanes if s.route.id == response.route)
        try:
            await self._cache.put(key.bound_to(state.identity), response)
        except Exception as error:  # noqa: BLE001  the caller's own store, and a paid answer
            self._log_once(error, "the cache failed to put an answer, which is safe")

    async def _cached(
        self, cache: Cache, context: RequestContext, order: Order, key: Key
    ) -> APIResponse[object] | None:
        try:
            # Keys and regions of one model share their answers.
            for identity in dict.fromkeys(state.identity for state in order.lanes):
                hit = await cache.get(key.bound_to(identity))
                if hit is not None:
                    return readdress(shape.fitted(hit, context), context, "cache")
        except InvalidOutputError:
            return None  # the type has changed, and the schema has not
        except Exception as error:  # noqa: BLE001  the caller's own store: a miss
            self._log_once(error, "the cache failed to get an answer, which is asked for instead")
        return None

    async def _remembered(
        self, context: RequestContext, key: Key, response: APIResponse[object]
    ) -> APIResponse[object]:
        if self._memory is not None:
            await self._remember(self._memory, context, key, response)
        return response

    async def _remember(
        self, memory: Memory, context: RequestContext, key: Key, response: APIResponse[object]
    ) -> None:
        try:
            await memory.remember(context, key, response)
        except BaseException:
            self._write_off(response)
            raise

    def _unforeseen(
        self, context: RequestContext, error: Exception | asyncio.CancelledError
    ) -> UnexpectedError:
        """The request's own error for a bug, or a cancellation that is not meant for it."""
        if isinstance(error, asyncio.CancelledError):
            if is_cancelled():
                raise error
            message = "the provider's request was cancelled, and not by headrace; run it again"
            return UnexpectedError(message)
        self._log_once(error, f"unforeseen error in request {context.name}")
        return UnexpectedError(
            f"{type(error).__name__}: {error} (unforeseen; please report it as a bug)"
        )

    def _log_once(self, error: Exception, what: str) -> None:
        """A bug may meet every row of a run; one traceback of each kind tells as much."""
        if type(error) not in self._logged:
            self._logged.add(type(error))
            _log.error(what, exc_info=error)


def _echo(error: HeadraceError) -> HeadraceError:
    """A shared send's error for those whose send it does not count as: nothing was spent."""
    echo = copy.copy(error)
    echo.attempt = echo.spent_nanos = None
    return echo


def readdress(
    known: APIResponse[object], context: RequestContext, source: Source
) -> APIResponse[object]:
    """An answer that another row, or an earlier run, was given first, now for this row."""
    return APIResponse(
        id=context.name,
        index=context.index,
        sample=context.sample,
        tags=context.tags,
        completion=known.completion,
        thinking=known.thinking,
        tool_calls=known.tool_calls,
        content=known.content,
        parsed=known.parsed,
        usage=known.usage,
        cost_nanos=known.cost_nanos,
        finish_reason=known.finish_reason,
        model=known.model,
        provider=known.provider,
        route=known.route,
        request_id=known.request_id,
        metadata=known.metadata,
        logprobs=known.logprobs,
        adaptations=known.adaptations,
        attempts=known.attempts,
        uncertain_attempts=known.uncertain_attempts,
        latency=known.latency,
        source=source,
    )
