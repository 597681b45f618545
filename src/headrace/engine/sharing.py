"""Identical requests in flight share one send, which belongs to no asker but to the client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from headrace.core.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from headrace.core.response import APIResponse
    from headrace.engine.leaving import WriteOff
    from headrace.engine.loops import LoopScope

    Send: TypeAlias = Callable[[WriteOff], Coroutine[object, object, APIResponse[object]]]


class Flight:
    """One send and those who ask for it.

    The send is cancelled, and awaited, only when its last asker has left. It counts for the asker
    that gets the answer first, since the one that asked first may have left; what was spent on a
    send that came to no end counts for the asker that settles it.
    """

    __slots__ = ("_answered", "_askers", "_flights", "_key", "_spent", "send")

    def __init__(self, scope: LoopScope, key: Hashable, send: Send) -> None:
        """For ``join``."""
        self._spent: APIResponse[object] | None = None
        self.send = scope.loop.create_task(send(self._write_off))
        self._flights = scope.flights
        self._key = key
        self._askers = 0
        self._answered = False

    async def answer(self) -> tuple[APIResponse[object] | HeadraceError, bool]:
        """The answer or final error, and whether it counts as this asker's own send."""
        self._askers += 1
        answer: APIResponse[object] | HeadraceError
        try:
            try:
                answer = await asyncio.shield(self.send)
            except HeadraceError as error:
                answer = error
            first, self._answered = not self._answered, True
            return answer, first
        finally:
            await self._leave()

    def settle(self, write_off: WriteOff) -> None:
        """Hand on what was spent in vain, if anything was, and once."""
        if self._spent is not None:
            write_off(self._spent)
            self._spent = None

    def take_error(self) -> HeadraceError | None:
        """What its last asker gets who leaves because of the time; it says what was spent."""
        error = None if self._spent is None else self._spent.error
        if error is not None:
            self._spent = None
        return error

    async def _leave(self) -> None:
        self._askers -= 1
        is_over = self.send.done()
        if (is_over or not self._askers) and self._flights.get(self._key) is self:
            del self._flights[self._key]
        if not is_over and not self._askers:
            self.send.cancel()
            await asyncio.wait({self.send})

    def _write_off(self, response: APIResponse[object]) -> None:
        self._spent = response


def join(scope: LoopScope, key: Hashable, send: Send) -> Flight:
    """The flight for ``key`` that is under way, or a new one."""
    known = scope.flights.get(key)
    if known is None:
        known = scope.flights[key] = Flight(scope, key, send)
    return known
