"""What belongs to a pack as a whole, taken apart: answers, bills, errors, and journal records."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

from headrace.core.errors import HeadraceError, ProviderError
from headrace.core.reply import Reply
from headrace.engine.course import MovedOn
from headrace.engine.pipeline import readdress
from headrace.policy.shares import split, split_usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.response import APIResponse
    from headrace.engine.outcomes import Record

    # Each row with its weight in the bill.
    Rows: TypeAlias = Sequence[tuple[RequestContext, int]]


def apart(response: APIResponse[object], rows: Rows) -> list[APIResponse[object]]:
    """Each row's own answer, with its share of what the pack used and cost."""
    if len(rows) == 1:
        return [response]
    values = cast("tuple[object, ...]", response.parsed)
    return [
        replace(readdress(bill, context, "provider"), parsed=value)
        for (context, _), value, bill in zip(rows, values, bills(response, rows), strict=True)
    ]


def bills(response: APIResponse[object], rows: Rows) -> list[APIResponse[object]]:
    """The response once for each row, with its share of what the pack used and cost."""
    weights = [weight for _, weight in rows]
    cost, usage = response.cost_nanos, response.usage
    costs = [None] * len(rows) if cost is None else split(cost, weights)
    usages = [None] * len(rows) if usage is None else split_usage(usage, weights)
    return [
        replace(response, usage=used, cost_nanos=spent)
        for used, spent in zip(usages, costs, strict=True)
    ]


def beyond(bill: APIResponse[object], counted: APIResponse[object] | None) -> APIResponse[object]:
    """What is on a row's bill and has not been ``counted``, when it stood at that."""
    if counted is None:
        return bill
    cost = bill.cost_nanos
    return replace(
        bill,
        attempts=max(bill.attempts - counted.attempts, 0),
        uncertain_attempts=max(bill.uncertain_attempts - counted.uncertain_attempts, 0),
        cost_nanos=None if cost is None else max(cost - (counted.cost_nanos or 0), 0),
    )


def split_error(error: HeadraceError | MovedOn, rows: Rows) -> list[Exception]:
    """The error as each row's own; of what was spent in vain each carries its share."""
    if len(rows) == 1:
        return [error]
    weights = [weight for _, weight in rows]
    if isinstance(error, MovedOn):
        spent = split(error.context.spent_nanos, weights)
        return [
            MovedOn(
                context.carrying(replace(error.context, spent_nanos=nanos)),
                error.banned,
            )
            for (context, _), nanos in zip(rows, spent, strict=True)
        ]
    spent = split(error.spent_nanos or 0, weights)
    usage = error.usage if isinstance(error, ProviderError) else None
    usages = [None] * len(rows) if usage is None else split_usage(usage, weights)
    return [_copied(error, nanos, used) for nanos, used in zip(spent, usages, strict=True)]


def _copied(error: HeadraceError, nanos: int, usage: object) -> HeadraceError:
    own = copy.copy(error)
    own.spent_nanos = nanos or None
    if usage is not None:
        own.__dict__["usage"] = usage
    return own


class PackRecord:
    """The places of a pack's rows in the journal; implements ``engine.outcomes.Record``."""

    __slots__ = ("_records", "_rows")

    def __init__(self, records: Sequence[Record], rows: Rows) -> None:
        self._records = records
        self._rows = rows

    async def intent(self, route: str, number: int) -> None:
        """All rows are about to be sent."""
        await _all([record.intent(route, number) for record in self._records])

    def withdraw(self, number: int, code: str) -> None:
        """That send cost none of them anything."""
        for record in self._records:
            record.withdraw(number, code)

    async def answer(self, response: APIResponse[object], reply: Reply | None) -> None:
        """Each row's own answer; the reply belongs to all, and to none of them alone."""
        del reply
        rows = apart(response, self._rows)
        pairs = zip(self._records, rows, strict=True)
        await _all([record.answer(row, None) for record, row in pairs])

    async def failure(self, route: str, number: int, error: ProviderError) -> None:
        """What may have been paid for is kept once; the other rows say only that it came."""
        others = error
        if error.reply is not None:
            others = copy.copy(error)
            others.reply = Reply(error.reply.status, b"", error.reply.headers)
        first, *rest = self._records
        await _all(
            [
                first.failure(route, number, error),
                *(record.failure(route, number, others) for record in rest),
            ]
        )


class PlainRecord(PackRecord):
    """A text that is no row's: its send is in the journal with a row, and over with that row."""

    async def answer(self, response: APIResponse[object], reply: Reply | None) -> None:
        """The answer is nobody's: what was paid for it stays open until the row has its own."""


async def _all(several: Sequence[Awaitable[None]]) -> None:
    """Wait for all, and then raise what went wrong with any."""
    for outcome in await asyncio.gather(*several, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
