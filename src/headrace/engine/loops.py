"""What belongs to one event loop: its HTTP session, its timer, its shared sends.

Decisions belong to the client; these things cannot, since they are bound to the loop that made
them. A ``LoopScope`` is made on first use in a (process, event loop), shared by all runs there,
and closed with the client, after some idle time, or with the loop itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Iterator
    from types import TracebackType

    from headrace.adapters.http import Transport
    from headrace.engine.admission import Permit, Waiter
    from headrace.engine.sharing import Flight

IDLE: Final = 30.0


class LoopScope:
    """One event loop's share of a client; implements ``engine.admission.Waker``."""

    def __init__(self, make_transport: Callable[[], Transport], pump: Callable[[], None]) -> None:
        """Called inside the loop."""
        self.loop = asyncio.get_running_loop()
        self.flights: dict[Hashable, Flight] = {}
        self.permits: set[Permit] = set()
        self._growers: list[Callable[[], None]] = []
        self._make_transport = make_transport
        self._pump = pump
        self._transport: Transport | None = None
        self._keeper: AsyncGenerator[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._users = 0

    def __enter__(self) -> Self:
        """A run or request begins to use this scope."""
        self._users += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """It ends; the last one starts the idle time after which connections are closed."""
        self._users -= 1
        if not self._users and self._transport is not None and not self.loop.is_closed():
            self._idle = self.loop.call_later(IDLE, self._close_idle)

    @contextmanager
    def growing(self, grow: Callable[[], None]) -> Iterator[None]:
        """A run goes on meanwhile, and may draw more when there is room in the line."""
        self._growers.append(grow)
        try:
            yield
        finally:
            self._growers.remove(grow)

    def grow(self) -> None:
        """One of those that stood in line here was admitted."""
        for grow in self._growers:
            grow()

    def transport(self) -> Transport:
        """The loop's HTTP session, made on first use; no coroutine, since every request asks."""
        if self._transport is None:
            self._transport = self._make_transport()
            # asyncio.run closes what async generators are left before it closes the loop: the
            # one moment at which a session that outlives its run can still be closed properly.
            self._keeper = self._keep(self._transport)
            with suppress(StopIteration):  # it stands at its yield
                self._keeper.__anext__().send(None)
        return self._transport

    async def _keep(self, transport: Transport) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._transport = None
            await transport.aclose()

    async def aclose(self) -> None:
        """Close the connections. The timer of admission stays: a run may still wait for it."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.aclose()

    @property
    def is_used(self) -> bool:
        """Is a run or request under way in this loop?"""
        return self._users > 0

    def _close_idle(self) -> None:
        self._idle = None
        if not self._users:
            closing = self.loop.create_task(self.aclose())
            self._closing = closing  # asyncio keeps only weak references

    # What admission calls, from any thread.

    def deliver(self, waiter: Waiter) -> bool:
        """Resolve the waiter's future in this loop."""
        return self._here(_resolve, waiter)

    def arm(self, wait: int) -> bool:
        """Pump after ``wait`` nanoseconds."""
        return self._here(self._arm, wait)

    def _arm(self, wait: int) -> None:
        when = self.loop.time() + max(wait, 0) / SECOND
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._pump()

    def _here(self, call: Callable[..., None], argument: object) -> bool:
        """False where this loop is closed."""
        if running() is self.loop:
            call(argument)
            return True
        try:
            self.loop.call_soon_threadsafe(call, argument)
        except RuntimeError:
            return False
        return True


def running() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread."""
    return asyncio.events._get_running_loop()  # noqa: SLF001 - the public form raises, and costs


def _resolve(waiter: Waiter) -> None:
    if waiter.future.done():
        return
    if waiter.error is not None:
        waiter.future.set_exception(waiter.error)
    elif waiter.permit is not None:
        waiter.future.set_result(waiter.permit)


class LoopScopes:
    """The loop scopes of one client: one for each event loop of this process.

    After a fork the child drops what it inherited without closing it: the sockets belong to the
    parent, and closing them would end TLS sessions that the parent still uses.
    """

    def __init__(
        self,
        make_transport: Callable[[], Transport],
        pump: Callable[[], None],
        forked: Callable[[], None],
        take_back: Callable[[Iterable[Permit]], None],
    ) -> None:
        self._make_transport = make_transport
        self._pump = pump
        self._forked = forked
        self._take_back = take_back
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._scopes: dict[asyncio.AbstractEventLoop, LoopScope] = {}

    def here(self) -> LoopScope:
        """The scope of the running loop."""
        if self._process != os.getpid():
            _dropped.append(self._scopes)
            self._scopes = {}
            self._lock = threading.Lock()
            self._process = os.getpid()
            self._forked()
        loop = asyncio.get_running_loop()
        return self._scopes.get(loop) or self._add(loop)

    def _add(self, loop: asyncio.AbstractEventLoop) -> LoopScope:
        with self._lock:
            closed = [v for k, v in self._scopes.items() if k.is_closed()]
            self._scopes = {k: v for k, v in self._scopes.items() if not k.is_closed()}
            scope = self._scopes[loop] = LoopScope(self._make_transport, self._pump)
        if closed:
            # Who flew there holds slots, and who waited stands before all others, for ever.
            self._take_back([permit for each in closed for permit in list(each.permits)])
        return scope

    def is_used_here(self) -> bool:
        """Is a run or request of the client under way in the loop that runs in this thread?"""
        loop = running()
        return loop is not None and loop in self._scopes and self._scopes[loop].is_used

    async def aclose(self) -> None:
        """Close what belongs to the running loop."""
        with self._lock:
            scope = self._scopes.pop(asyncio.get_running_loop(), None)
        if scope is not None:
            await scope.aclose()


# What a forked child inherited: kept, so that nothing of it is ever finalised there.
_dropped: Final[list[object]] = []
