"""One streamed answer, on the same way as any other: admission, one send, what follows from it.

Before the first chunk a failure is retried like any attempt. After it the consumer has read what
cannot be taken back: the error is raised with what had arrived, or, where restarts are wanted, a
``RestartChunk`` says that the stream begins again, and both sends are paid for.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from headrace.core import shape
from headrace.core.chunks import EndChunk, RestartChunk, TextChunk, UsageChunk, pieces
from headrace.core.errors import (
    DeadlineError,
    HeadraceError,
    OutcomeUnknownError,
    ProviderError,
    TruncatedError,
)
from headrace.core.events import RequestFinished
from headrace.engine.course import Course, MovedOn, failed, time_left
from headrace.engine.pipeline import Pipeline
from headrace.engine.ways import Ways

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.response import APIResponse
    from headrace.engine.admission import Permit
    from headrace.engine.attempt import Sender
    from headrace.engine.leaving import WriteOff
    from headrace.engine.loops import LoopScope
    from headrace.engine.order import Order


class TokenPipeline(Pipeline):
    """The way of one streamed request; a cached answer comes in one piece."""

    async def stream(self, context: RequestContext, *, restarts: bool) -> AsyncGenerator[Chunk]:
        """The chunks of the answer, ``EndChunk`` last; raises the error that ends it."""
        try:
            async with aclosing(self._stream(context, restarts=restarts)) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, EndChunk):
                        self._sender.tell(RequestFinished(chunk.response))
                    yield chunk
        except HeadraceError as error:
            self._sender.tell(RequestFinished(failed(context, error)))
            raise
        except (Exception, asyncio.CancelledError) as error:
            failure = self._unforeseen(context, error)
            self._sender.tell(RequestFinished(failed(context, failure)))
            raise failure from error

    async def _stream(self, context: RequestContext, *, restarts: bool) -> AsyncGenerator[Chunk]:
        choice, key = self._choose(context), context.key
        if not choice.is_started:
            await choice.start()
        ways = Ways(choice, context, key)
        while True:
            order, may_move = ways.next()
            hit = None
            if self._cache is not None:
                hit = await self._cached(self._cache, context, order, key)
            attempts = Attempts(self._sender, self._scope, self._write_off, restarts=restarts)
            of = attempts.of(ways.context, order, may_move=may_move)
            try:
                async with aclosing(of if hit is None else _whole(hit)) as chunks:
                    async for chunk in chunks:
                        if isinstance(chunk, EndChunk) and hit is None:
                            await self._keep(chunk.response, key, order)
                        yield chunk
            except MovedOn as moved:
                ways.move(moved)
            else:
                return


class Attempts:
    """The sends of one streamed request."""

    def __init__(
        self, sender: Sender, scope: LoopScope, write_off: WriteOff, *, restarts: bool
    ) -> None:
        self._sender = sender
        self._scope = scope
        self._write_off = write_off
        self._restarts = restarts
        self._said: list[str] = []
        self._has_begun = False
        self._response: APIResponse[object] | None = None

    async def of(
        self, context: RequestContext, order: Order, *, may_move: bool
    ) -> AsyncGenerator[Chunk]:
        """Send until a stream comes to its end, or a failure is final; see ``Sender.answer``."""
        course = Course(context, order, self._sender.admission.number(), may_move=may_move)
        try:
            if context.failures:
                await self._sender.come_back(course)
            while self._response is None:
                permit = await self._sender.admit(course, self._scope)
                self._scope.permits.add(permit)
                async with aclosing(self._attempt(course, permit)) as chunks:
                    async for chunk in chunks:
                        yield chunk
        except BaseException as error:
            course.leave(error, self._response, self._write_off)
            raise

    async def _attempt(self, course: Course, permit: Permit) -> AsyncGenerator[Chunk]:
        try:
            async with aclosing(self._once(course, permit)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ProviderError as error:
            moved = await self._fail(course, permit, error)
            if self._has_begun:
                self._said, self._has_begun = [], False
                yield RestartChunk(error)
            if moved is not None:
                raise moved from None
        except BaseException as error:
            if self._response is None:
                self._sender.break_off(course, permit, error, None)
            raise
        finally:
            self._scope.permits.discard(permit)

    async def _once(self, course: Course, permit: Permit) -> AsyncGenerator[Chunk]:
        request = self._sender.request(course, permit, self._scope)
        usage = None
        try:
            async with aclosing(request.stream_once()) as chunks:
                while not isinstance(chunk := await self._next(course, chunks), EndChunk):
                    usage = chunk.usage if isinstance(chunk, UsageChunk) else usage
                    self._note(chunk)
                    yield chunk
                self._response = self._finish(course, permit, chunk.response)
        except ProviderError as error:
            error.usage = error.usage or usage
            raise
        yield EndChunk(self._response)

    def _finish(
        self, course: Course, permit: Permit, raw: APIResponse[object]
    ) -> APIResponse[object]:
        if course.context.output_schema is not None:
            raw = shape.fitted(raw, course.context)
        response = course.finish(raw, permit, self._sender.clock.now())
        self._sender.succeed(permit, response, raw.reply)
        return response

    async def _next(self, course: Course, chunks: AsyncGenerator[Chunk]) -> Chunk:
        """The next chunk, if it comes before the deadline; the exchange bounds but each silence."""
        left = time_left(course.context, self._sender.clock.now())
        try:
            if left is None:
                return await anext(chunks)
            # Only while it is waited for: a timeout must not reach the consumer's own code.
            async with asyncio.timeout(left):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            msg = "the stream came to no end; ask again"
            raise TruncatedError(msg) from None
        except TimeoutError:
            if not self._sender.is_late(course.context):
                raise
        else:
            if isinstance(chunk, EndChunk) or not self._sender.is_late(course.context):
                return chunk
        msg = "the deadline passed before the stream's end; it may have been charged"
        raise OutcomeUnknownError(msg)

    def _note(self, chunk: Chunk) -> None:
        self._has_begun = self._has_begun or not isinstance(chunk, UsageChunk)
        if isinstance(chunk, TextChunk):
            self._said.append(chunk.text)

    async def _fail(self, course: Course, permit: Permit, error: ProviderError) -> MovedOn | None:
        """Return when it is time for the next send, perhaps elsewhere; raises the final error."""
        if self._has_begun:
            error.arrived = "".join(self._said)
        if self._has_begun and not self._restarts and not self._sender.is_late(course.context):
            self._sender.end(course, permit, error)
            raise error
        try:
            await self._sender.after(course, permit, error, None)
        except MovedOn as moved:
            return moved
        except DeadlineError as late:
            late.arrived = error.arrived
            raise
        return None


async def _whole(response: APIResponse[object]) -> AsyncGenerator[Chunk]:
    """An answer that is there already, in chunks."""
    for chunk in pieces(response):
        yield chunk
    yield EndChunk(response)
