"""Identical requests in flight share one send, which belongs to no asker but to the client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace.core.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from headrace.core.response import APIResponse
    from headrace.engine.loops import LoopScope


async def share(
    scope: LoopScope,
    key: Hashable,
    send: Callable[[], Coroutine[object, object, APIResponse[object]]],
) -> tuple[APIResponse[object] | HeadraceError, bool]:
    """The answer or final error for ``key``, and whether it counts as this asker's own send.

    The send is cancelled, and awaited, only when its last asker has left. It counts for the asker
    that gets the answer first, since the one that asked first may have left.
    """
    known = scope.flights.get(key)
    if known is None:
        task = scope.loop.create_task(send())
        known = scope.flights[key] = (task, [0, 0])
    task, askers = known
    askers[0] += 1
    try:
        answer: APIResponse[object] | HeadraceError
        try:
            answer = await asyncio.shield(task)
        except HeadraceError as error:
            answer = error
        askers[1] += 1
        return answer, askers[1] == 1
    finally:
        askers[0] -= 1
        if (task.done() or not askers[0]) and scope.flights.get(key) is known:
            del scope.flights[key]
        if not task.done() and not askers[0]:
            task.cancel()
            await asyncio.wait({task})
