"""Whose fault a refused pack is: that of one of its rows, or of what they all share.

See ``engine/packing.py`` for the rule.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from headrace.core.errors import OverloadedError, ProviderError, RejectedError, TooLargeError
from headrace.engine import health
from headrace.engine.course import MovedOn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from headrace.core.context import RequestContext
    from headrace.core.operations import Embed

# With fewer rows, asking each costs no more than asking whose fault it is.
MANY: Final = 4
# A text that nobody refuses for its own sake, and what events call it: it has no row's id.
PLAIN: Final = "text"
PLAIN_ID: Final = "headrace: a plain text"
# Places, sizes and ids in a sentence, by which the same refusal differs.
_NUMBERS: Final = re.compile(r"[\w-]*\d[\w-]*")


class Halves:
    """Two halves of a refused pack, each of which waits to hear how the other fared."""

    __slots__ = ("_refusals", "_verdict")

    def __init__(self) -> None:
        self._refusals: list[Hashable] = []
        self._verdict: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def is_shared(
        self, error: Exception, plain: Callable[[], Coroutine[object, object, Exception | None]]
    ) -> bool:
        """Is the refusal of this half everybody's? ``plain`` gives that of a plain text."""
        self._refusals.append(_alike(error))
        if len(self._refusals) == 1:
            return await self._verdict
        try:
            if self._refusals[0] == self._refusals[1]:
                refusal = await plain()
                shared = refusal is not None and _alike(refusal) == self._refusals[0]
                self._decide(shared=shared)
        finally:
            self._decide(shared=False)
        return self._verdict.result()

    def leave(self) -> None:
        """A half is done, and has not been refused as the other one was."""
        self._decide(shared=False)

    def _decide(self, *, shared: bool) -> None:
        if not self._verdict.done():
            self._verdict.set_result(shared)


def plain_text(context: RequestContext, max_attempts: int) -> RequestContext:
    """Asked as ``context`` is, and once: as one that has no further attempt, whatever it meets."""
    return replace(
        context,
        prompt=replace(cast("Embed", context.asked), input=PLAIN),
        id=PLAIN_ID,
        tags=None,
        deadline=None,
        attempts=max_attempts,
        failures=(),
        spent_nanos=0,
    )


def may_be_of_one(error: Exception) -> bool:
    """Was the pack refused as it is, so that a smaller one may be answered?"""
    # A server may fail at one text for ever, and has by now failed at this pack so often.
    if isinstance(error, OverloadedError):
        return error.status == health.FAILED
    error = _meant(error)
    if isinstance(error, RejectedError):
        return error.status is not None
    return isinstance(error, TooLargeError)


def _meant(error: Exception) -> Exception:
    return error.context.failures[-1] if isinstance(error, MovedOn) else error


def _alike(error: Exception) -> Hashable:
    """What is the same in refusals of one kind."""
    meant = _meant(error)
    status = meant.status if isinstance(meant, ProviderError) else None
    return type(meant), status, _NUMBERS.sub("#", str(meant))
