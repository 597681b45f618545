"""A run's responses as they come, or in order: the context owns the run, the consumer sets its pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from headrace.core.response import APIResponse

    Deliver = Callable[[APIResponse[object]], Coroutine[object, object, None]]


class ResponseStream:
    """``async with client.process_stream(…) as responses: async for response in responses: …``

    Leaving the block, early or by an error, cancels and awaits everything. At most ``bound``
    responses are held for a consumer that is slower than the providers; in order, a late response
    holds back at most as many.
    """

    def __init__(
        self, run: Callable[[Deliver], Coroutine[object, object, None]], *, bound: int, ordered: bool
    ) -> None:
        self._run = run
        self._bound = bound
        self._ordered = ordered
        self._ready: dict[int, APIResponse[object]] = {}
        self._next = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._consumer: asyncio.Future[None] | None = None
        self._held: dict[int, asyncio.Future[None]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the run."""
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run, wherever it is."""
        assert self._worker is not None
        self._worker.cancel()
        await asyncio.wait({self._worker})

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> APIResponse[object]:
        """The next response; raises what stopped the run, after all that was finished."""
        if self._worker is None:
            msg = "a stream is used with 'async with client.process_stream(…) as responses:'"
            raise RuntimeError(msg)
        while not self._has_next():
            self._consumer = asyncio.get_running_loop().create_future()
            await self._consumer
        if self._ready:
            return self._pop()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def _work(self) -> None:
        try:
            await self._run(self._deliver)
        except Exception as error:  # noqa: BLE001 - handed to the consumer
            self._failure = error
        finally:
            self._ended = True
            _wake(self._consumer)

    async def _deliver(self, response: APIResponse[object]) -> None:
        index = response.index
        if not self._has_room(index):
            held = self._held[index] = asyncio.get_running_loop().create_future()
            await held
        self._ready[index] = response
        if self._has_next():
            _wake(self._consumer)

    def _has_room(self, index: int) -> bool:
        if self._ordered:
            return index < self._next + self._bound
        return len(self._ready) < self._bound and not self._held

    def _has_next(self) -> bool:
        return self._ended or (self._next in self._ready if self._ordered else bool(self._ready))

    def _pop(self) -> APIResponse[object]:
        """Hand out the next one, and let one worker that was held back go on."""
        if self._ordered:
            index = self._next if self._next in self._ready else min(self._ready)
            self._next = index + 1
            _wake(self._held.pop(index + self._bound, None))
        else:
            index = next(iter(self._ready))
            if self._held:
                _wake(self._held.pop(next(iter(self._held))))
        return self._ready.pop(index)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
