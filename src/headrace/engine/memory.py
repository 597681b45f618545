"""A run's journal as the pipeline sees it: row identities, records, and replay."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from headrace.core import fingerprint
from headrace.core.errors import (
    Charged,
    ContentFilterError,
    HeadraceError,
    InvalidOutputError,
    JournalError,
    ProviderError,
)
from headrace.core.shape import fitted
from headrace.engine.pipeline import readdress
from headrace.wire import record as codec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.core.context import RequestContext
    from headrace.core.fingerprint import Key
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.engine.journal import Journal
    from headrace.engine.journal_format import Found
    from headrace.engine.outcomes import Record


class Decode(Protocol):
    """How a recorded reply is read again."""

    def __call__(
        self, context: RequestContext, route: Route, reply: Reply, /
    ) -> APIResponse[object] | None:
        """The answer, or None where its provider has no such form."""


async def opened_in_thread(open_: Callable[[], Journal]) -> Journal:
    """What ``open_`` gives; its disk may be slow."""
    opening = asyncio.get_running_loop().run_in_executor(None, open_)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The thread cannot be stopped; what it opens would stay locked.
        with suppress(JournalError):
            (await opening).close()
        raise


class RunMemory:
    """The journal of one run; implements ``engine.pipeline.Memory``."""

    def __init__(
        self,
        journal: Journal,
        models: tuple[str, ...],
        find: Callable[[str], Route | None],
        decode: Decode,
    ) -> None:
        self._journal = journal
        self._models = models
        self._find = find
        self._decode = decode
        self._last: tuple[RequestContext, bytes] | None = None

    def recall(self, context: RequestContext, key: Key) -> APIResponse[object] | None:
        """The recorded answer of this row, read again; None where it has to be asked (again)."""
        found = self._journal.find(self._row(context, key))
        if found is None:
            return None
        try:
            known = self._read(context, found)
            return None if known is None else readdress(fitted(known, context), context, "journal")
        except (InvalidOutputError, ContentFilterError):
            return None  # the type has changed, and its JSON schema has not: it is asked again

    def record(self, context: RequestContext, key: Key) -> Record:
        """Where this row's attempts are written."""
        form = None if context.output_schema is None else self._form
        return RowRecord(self._journal, self._row(context, key), form)

    async def remember(
        self, context: RequestContext, key: Key, response: APIResponse[object]
    ) -> None:
        """Write down an answer from elsewhere, or a final failure."""
        row = self._row(context, key)
        if response.error is not None:
            extras: dict[str, object] = {"attempts": response.attempts}
            await self._journal.failed(row, response.error.to_dict(), extras)
            return
        await RowRecord(self._journal, row).answer(response, None)

    def _form(self, route: str) -> str | None:
        """How answers of a given shape come from there now; rows may be written anew."""
        found = self._find(route)
        return None if found is None else found.structured

    def _row(self, context: RequestContext, key: Key) -> bytes:
        # A row is looked up and then, mostly at once, recorded.
        if self._last is not None and self._last[0] is context:
            return self._last[1]
        models = self._models if context.model is None else (context.model,)
        row = fingerprint.of_row(key, models, context.sample, context.occurrence)
        self._last = (context, row)
        return row

    def _read(self, context: RequestContext, found: Found) -> APIResponse[object] | None:
        if found.value is not None:
            return codec.load(found.value)
        route = self._find(found.route)
        if route is None or found.reply is None:
            return None
        try:
            asked = route.when_structured(found.extras.get("structured"))
            known = self._decode(context, asked, found.reply)
        except HeadraceError:
            return None  # a reply that this version cannot read: the row is asked again
        return None if known is None else _with_extras(known, found)


class RowRecord:
    """One row's place in the journal; implements ``engine.attempt.Record``."""

    __slots__ = ("_form", "_journal", "_row")

    def __init__(
        self, journal: Journal, row: bytes, form: Callable[[str], str | None] | None = None
    ) -> None:
        """``form``: of a route, how answers of the shape that was asked for come from there."""
        self._form = form
        self._journal = journal
        self._row = row

    async def intent(self, route: str, number: int) -> None:
        """A send is about to happen: when this is done, and its answer can be recorded."""
        await self._journal.intent(self._row, route, number)
        self._journal.check()  # an fsync may have failed since it was written

    def withdraw(self, number: int, code: str) -> None:
        """That send cost nothing: it never left, or was refused."""
        self._journal.withdraw(self._row, number, code)

    def answer(self, response: APIResponse[object], reply: Reply | None) -> Awaitable[None]:
        """Done when the answer is on disk."""
        route, extras = response.route or "", _extras(response)
        value = codec.dump(response) if reply is None else None
        if reply is not None and self._form is not None:
            extras["structured"] = self._form(route)
        return self._journal.answer(self._row, route, response.model or "", reply, value, extras)

    async def failure(self, route: str, number: int, error: ProviderError) -> None:
        """Keep the raw bytes of what may have been paid for; withdraw what cost nothing."""
        if error.reply is not None:
            await self._journal.unreadable(self._row, route, "", error.reply, {"code": error.code})
        elif error.charged is Charged.NO:
            self.withdraw(number, error.code)


def _extras(response: APIResponse[object]) -> dict[str, object]:
    """What the reply itself does not say."""
    extras: dict[str, object] = {
        "attempts": response.attempts,
        "latency": response.latency,
        "cost_nanos": response.cost_nanos,
    }
    if response.uncertain_attempts:
        extras["uncertain_attempts"] = response.uncertain_attempts
    if response.adaptations:
        extras["adaptations"] = response.adaptations
    return extras


def _with_extras(known: APIResponse[object], found: Found) -> APIResponse[object]:
    return replace(
        known,
        route=found.route,
        provider=found.route.partition("/")[0],
        attempts=_whole(found.extras.get("attempts")) or 0,
        uncertain_attempts=_whole(found.extras.get("uncertain_attempts")) or 0,
        latency=_number(found.extras.get("latency")),
        cost_nanos=_whole(found.extras.get("cost_nanos")),
        adaptations=_texts(found.extras.get("adaptations")),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
