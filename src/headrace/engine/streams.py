"""A run's responses as they come, or in order: the block owns the run, the consumer its pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, Self

from headrace.core.errors import RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from headrace.core.response import APIResponse


class Deliver(Protocol):
    """Where a run puts its responses."""

    async def __call__(self, response: APIResponse[object], /) -> None:
        """Hand over one response; returns when there was room for it."""

    def release(self) -> None:
        """The run stops early: hold nothing back any more, since some rows will never come."""


class ResponseStream:
    """``async with client.process_stream(…) as responses: async for response in responses: …``

    Leaving the block, early or by an error, cancels and awaits everything. At most ``bound``
    responses are held for a consumer that is slower than the providers; in order, a late response
    holds back at most as many.
    """

    def __init__(
        self,
        run: Callable[[Deliver], Coroutine[object, object, None]],
        *,
        bound: int,
        ordered: bool,
    ) -> None:
        self._run = run
        self._buffer = _Ordered(bound) if ordered else _Buffer(bound)
        self._failure: Exception | None = None
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the run."""
        if self._worker is not None:
            msg = "a stream is entered once; ask the client for another one to run again"
            raise RuntimeError(msg)
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run, wherever it is."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker})
            self._buffer.end()

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> APIResponse[object]:
        """The next response; raises what stopped the run, after all that was finished."""
        if self._worker is None:
            msg = "a stream is used with 'async with', as in: async with stream as responses:"
            raise RuntimeError(msg)
        response = await self._buffer.take()
        if response is not None:
            return response
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def _work(self) -> None:
        try:
            await self._run(self._buffer)
        except asyncio.CancelledError:
            # Seen only where somebody else than this stream ended it: no end to be taken as whole.
            self._failure = RunStoppedError("the run was cancelled; start it again for the rest")
            raise
        except Exception as error:  # noqa: BLE001 - handed to the consumer
            self._failure = error
        finally:
            self._buffer.end()


class _Buffer:
    """Responses between a run and its consumer, handed out as they come."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._ready: dict[int, APIResponse[object]] = {}
        self._held: dict[int, tuple[APIResponse[object], asyncio.Future[None]]] = {}
        self._consumer: asyncio.Future[None] | None = None
        self._ended = False
        self._released = False

    async def __call__(self, response: APIResponse[object], /) -> None:
        """See ``Deliver``."""
        if self._released or self._has_room(response.index):
            self._put(response)
            return
        waiting = asyncio.get_running_loop().create_future()
        self._held[response.index] = (response, waiting)
        await waiting

    def release(self) -> None:
        """See ``Deliver``."""
        self._released = True
        for index in list(self._held):
            self._let_go(index)

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        _wake(self._consumer)

    async def take(self) -> APIResponse[object] | None:
        """The next response; None after the last one."""
        if self._consumer is not None and not self._consumer.done():
            msg = "two consumers wait on one stream; give each its own, or let one hand on"
            raise RuntimeError(msg)
        while not self._ended and not self._has_next():
            self._consumer = asyncio.get_running_loop().create_future()
            await self._consumer
        return self._pop() if self._ready else None

    def _put(self, response: APIResponse[object]) -> None:
        self._ready[response.index] = response
        if self._has_next():
            _wake(self._consumer)

    def _let_go(self, index: int) -> None:
        """Put in what was held back, and let its worker go on."""
        response, waiting = self._held.pop(index)
        self._put(response)
        _wake(waiting)

    def _has_room(self, index: int) -> bool:
        del index
        return len(self._ready) < self._bound

    def _has_next(self) -> bool:
        return bool(self._ready)

    def _pop(self) -> APIResponse[object]:
        response = self._ready.pop(next(iter(self._ready)))
        if self._held:
            self._let_go(next(iter(self._held)))
        return response


class _Ordered(_Buffer):
    """Responses handed out in the order of their rows."""

    def __init__(self, bound: int) -> None:
        super().__init__(bound)
        self._next = 0

    def _has_room(self, index: int) -> bool:
        return index < self._next + self._bound

    def _has_next(self) -> bool:
        return self._next in self._ready

    def _pop(self) -> APIResponse[object]:
        # After a run that stopped early, some are missing.
        index = self._next if self._next in self._ready else min(self._ready)
        self._next = index + 1
        response = self._ready.pop(index)
        if index + self._bound in self._held:
            self._let_go(index + self._bound)
        return response


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
