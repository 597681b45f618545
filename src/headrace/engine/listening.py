"""What callers hook in: called in their turn, and never able to harm a row or a run."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from headrace.engine.leaving import is_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.core.events import Event, Listener
    from headrace.core.response import APIResponse

_log = logging.getLogger("headrace")


async def hand_over(
    on_response: Callable[[APIResponse[Any]], Awaitable[None] | None], response: APIResponse[Any]
) -> None:
    """Call ``on_response``, await what it returns if that can be awaited, log what it raises."""
    try:
        result = on_response(response)
        if inspect.isawaitable(result):
            await result
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        _log.warning("on_response was cancelled for row %s; the row itself is safe", response.id)
    except Exception:  # noqa: BLE001  the caller's own code
        _log.exception("on_response failed for row %s; the row itself is safe", response.id)


def guarded(listener: Listener) -> Callable[[Event], None]:
    """``listener``, with its errors logged instead of raised."""

    def tell(event: Event) -> None:
        try:
            listener(event)
        except Exception:  # noqa: BLE001  the caller's own code
            _log.exception("a listener failed on %s", type(event).__name__)

    return tell
