"""Many rows in one exchange: texts to embed wait a moment for each other, and go out together.

Everything about a row stays its own: its key, its place in cache and journal, its deadline, its
answer with its share of the bill. One attempt, one permit and one reply belong to the pack. It is
put together behind cache and journal, so that only what has to be asked is in it, and sent like
any request, with the same retries and limits.

A pack waits until it is full, or nothing has joined it for a moment. Who is cancelled before it
leaves is not in it; afterwards it goes on for the others, and is cancelled with the last of them.
Where the provider refuses a pack, or has failed at it (500) until its attempts were used up, one
text may be to blame: its halves are asked by themselves, down to the one text that is refused alone
(after a failure with one attempt each). Or all texts share the mistake (dimensions that the model
has not, a name that is wrong), and each would be refused alone, at the price of two requests a
row. So when both halves are refused, with the same words but for numbers, and nothing of the pack
has been answered yet, a plain text of our own is asked in the same way: if that is refused so too,
no text is to blame, and all rows have their error after four exchanges. If anything else becomes of
it (an answer, for the price of one word, or trouble), the search goes on: it is sent once, since
good rows wait for it. Texts of the pack itself could not tell: two of them may be wrong in the same
way, and a good one would fail with them. A journal is made of rows, and this is none: its send is
there with a row that waits for it, as in flight; what it cost is on the run's bill alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from headrace.core.errors import HeadraceError, OverloadedError, ProviderError
from headrace.core.operations import Embed, EmbedPack
from headrace.engine.course import MovedOn, expired, failed, time_left
from headrace.engine.pack_fault import MANY, Halves, may_be_of_one, plain_text
from headrace.engine.pack_record import PackRecord, PlainRecord, apart, beyond, bills, split_error
from headrace.engine.pipeline import Pipeline
from headrace.policy import reservation
from headrace.policy.shares import split

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from typing import Any

    from headrace.core.context import RequestContext
    from headrace.core.params import SamplingParams
    from headrace.core.response import APIResponse
    from headrace.engine.attempt import Sender
    from headrace.engine.leaving import WriteOff
    from headrace.engine.loops import LoopScope
    from headrace.engine.order import Order
    from headrace.engine.outcomes import Record

# Seconds: a pack leaves when nothing has joined it for so long, or when it has waited so long.
QUIET: Final = 0.003
LONGEST: Final = 0.25
# Of the tokens that a minute allows: packs that take all of them would go out in jerks.
PORTION: Final = 10


class Asker:
    """One row in a pack; what is ``counted`` of its attempts and bill is not counted again.

    Its ``context`` has been through all that the row has, but for what is under way now.
    """

    __slots__ = ("context", "counted", "future", "is_settled", "record", "weight")

    def __init__(self, context: RequestContext, record: Record | None, weight: int) -> None:
        self.context = context
        self.record = record
        self.weight = weight
        self.counted: APIResponse[object] | None = None
        self.future: asyncio.Future[APIResponse[object]] = (
            asyncio.get_running_loop().create_future()
        )
        self.is_settled = False


class Pack:
    """Rows that go out together; ``send`` is under way once they have left.

    It ``is_sound`` when it is known that not all of its rows share a mistake.
    """

    __slots__ = (
        "askers",
        "is_sound",
        "may_move",
        "open",
        "order",
        "scope",
        "seen",
        "send",
        "since",
        "tokens",
    )

    def __init__(self, order: Order, scope: LoopScope, *, may_move: bool) -> None:
        self.order = order
        self.scope = scope
        self.may_move = may_move
        self.askers: dict[Asker, None] = {}
        self.tokens = self.seen = self.open = 0
        self.is_sound = False
        self.since = scope.loop.time()
        self.send: asyncio.Task[None] | None = None

    def join(self, asker: Asker) -> None:
        """One more row."""
        self.askers[asker] = None
        self.tokens += asker.weight
        self.open += 1

    def settle(self, asker: Asker, outcome: APIResponse[object] | Exception) -> bool:
        """Hand a row what became of it; False where it does not wait any more."""
        if asker.is_settled:
            return False
        asker.is_settled = True
        self.open -= 1
        if asker.future.done():
            return False
        if isinstance(outcome, Exception):
            asker.future.set_exception(outcome)
        else:
            asker.future.set_result(outcome)
        return True

    async def leave(self, asker: Asker) -> None:
        """A row does not wait any more; the last one to leave stops what is under way."""
        if not asker.is_settled:
            asker.is_settled = True
            self.open -= 1
            if self.send is None:
                del self.askers[asker]
                self.tokens -= asker.weight
            elif not self.open:
                self.send.cancel()
        # Nothing of a pack is left behind when its last row goes on.
        if self.send is not None and not self.open and not self.send.done():
            await asyncio.wait({self.send})


class Packer:
    """Puts packs together and sends them, for one run in one event loop."""

    def __init__(self, sender: Sender, write_off: WriteOff) -> None:
        """``write_off`` counts what was spent on packs that come to no end."""
        self._sender = sender
        self._write_off = write_off
        self._waiting: dict[Hashable, Pack] = {}

    async def answer(
        self,
        context: RequestContext,
        order: Order,
        scope: LoopScope,
        record: Record | None,
        write_off: WriteOff,
        *,
        may_move: bool = False,
    ) -> APIResponse[object]:
        """The answer to one row, asked together with others; as ``Sender.answer``."""
        asked = context.asked
        # An image is large, and few take several of them.
        if not isinstance(asked, Embed) or not isinstance(asked.input, str):
            return await self._sender.answer(
                context, order, scope, record, write_off, may_move=may_move
            )
        weight = max(1, reservation.input_tokens(asked, context.params))
        asker = Asker(context, record, order.lanes[0].learning.correction.of(weight) or 1)
        pack = self._pack_for(asked, asker, order, scope, may_move=may_move)
        try:
            async with asyncio.timeout(time_left(context, self._sender.clock.now())):
                return await asker.future
        except TimeoutError:
            error = expired(asker.context)
            asker.counted = failed(asker.context, error)
            raise error from None
        except asyncio.CancelledError:
            _count(asker, expired(asker.context), write_off)
            raise
        finally:
            await pack.leave(asker)

    def _pack_for(
        self, asked: Embed, asker: Asker, order: Order, scope: LoopScope, *, may_move: bool
    ) -> Pack:
        context = asker.context
        kind = (asked.dimensions, asked.input_type, _sent_with(context.params), context.failures)
        key = (*kind, context.attempts, order, may_move)
        items, tokens = _bounds(order)
        pack = self._waiting.get(key)
        if pack is not None and pack.askers and pack.tokens + asker.weight > tokens:
            self._leave(key, pack)
            pack = None
        if pack is None:
            pack = self._waiting[key] = Pack(order, scope, may_move=may_move)
            scope.loop.call_later(QUIET, self._look, key, pack)
        pack.join(asker)
        if len(pack.askers) >= items:
            self._leave(key, pack)
        return pack

    def _look(self, key: Hashable, pack: Pack) -> None:
        """A moment has passed: the pack leaves, unless more rows are just coming."""
        if pack.send is not None:
            return
        loop, count = pack.scope.loop, len(pack.askers)
        if count == pack.seen or loop.time() - pack.since >= LONGEST:
            self._leave(key, pack)
            return
        pack.seen = count
        loop.call_later(QUIET, self._look, key, pack)

    def _leave(self, key: Hashable, pack: Pack) -> None:
        del self._waiting[key]
        if pack.askers:
            pack.send = pack.scope.loop.create_task(self._send(pack, tuple(pack.askers)))

    async def _send(
        self, pack: Pack, askers: Sequence[Asker], halves: Halves | None = None
    ) -> None:
        """Ask for all, and hand each its own; ``halves``: they are one of two."""
        outcomes: Sequence[APIResponse[object] | Exception]
        try:
            outcomes = await self._outcomes(pack, askers, halves)
        except asyncio.CancelledError:
            # By its last row, or by whoever cancels everything in this loop.
            for asker in askers:
                asker.future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - a bug, which is each row's error and stops no other pack
            outcomes = [error] * len(askers)
            for asker in askers:
                _count(asker, expired(asker.context), self._write_off)
        finally:
            if halves is not None:
                halves.leave()
        for asker, outcome in zip(askers, outcomes, strict=False):
            if not pack.settle(asker, outcome):
                _count(asker, outcome, self._write_off)

    async def _outcomes(
        self, pack: Pack, askers: Sequence[Asker], halves: Halves | None
    ) -> Sequence[APIResponse[object] | Exception]:
        """What became of each; nothing where they are asked in halves, which settle themselves."""
        try:
            response = await self._ask(pack, askers)
        except (HeadraceError, MovedOn) as error:
            is_of_one = may_be_of_one(error)
            if is_of_one:
                # Before anything else is waited for: who leaves meanwhile takes it along.
                self._go_on_after(error, askers)
            if is_of_one and halves is not None:
                plain = partial(self._refusal_of_plain, pack, askers)
                is_of_one = not await halves.is_shared(error, plain)
            if is_of_one and len(askers) > 1:
                await self._send_halves(pack, askers)
                return ()
            return split_error(error, _rows(askers))
        pack.is_sound = True
        return apart(response, _rows(askers))

    async def _refusal_of_plain(self, pack: Pack, askers: Sequence[Asker]) -> Exception | None:
        """How a text is refused that is no row's, asked as they are; None: it is not."""
        if pack.is_sound:
            return None
        first = next((a for a in (*askers, *pack.askers) if not a.is_settled), askers[0])
        fresh = plain_text(first.context, self._sender.max_attempts)
        record = None if first.record is None else PlainRecord([first.record], ())
        pack.is_sound = True  # whatever comes: it is asked once
        try:
            response = await self._sender.answer(
                fresh, pack.order, pack.scope, record, self._write_off
            )
        except HeadraceError as error:
            self._write_off(failed(fresh, error))
            return error
        self._write_off(response)
        return None

    def _go_on_after(self, error: HeadraceError | MovedOn, askers: Sequence[Asker]) -> None:
        """What the whole pack has been through, and spent, its parts have been through."""
        if isinstance(error, MovedOn):
            been, spent = error.context.failures, error.context.spent_nanos
        elif isinstance(error, ProviderError):
            been, spent = (*error.history, error), error.spent_nanos or 0
        else:
            return  # too large: nothing was sent
        shares = split(spent, [asker.weight for asker in askers])
        # Who was sent in vain until no attempt was left has one more, in smaller company.
        is_worn = isinstance(error, OverloadedError)
        last = self._sender.max_attempts - 1 if is_worn else 0
        for asker, nanos in zip(askers, shares, strict=True):
            used = max(asker.context.attempts, last)
            asker.context = replace(asker.context, failures=been, spent_nanos=nanos, attempts=used)
            if asker.is_settled:
                _count(asker, expired(asker.context), self._write_off)

    async def _send_halves(self, pack: Pack, askers: Sequence[Asker]) -> None:
        middle = len(askers) // 2
        # Those who have left meanwhile are not asked for again.
        halves = (askers[:middle], askers[middle:])
        both = ([a for a in half if not a.is_settled] for half in halves)
        left = [half for half in both if half]
        is_one = len(left) == 1 or len(askers) < MANY or pack.is_sound
        pair = None if is_one else Halves()
        await asyncio.gather(*(self._send(pack, half, pair) for half in left))

    async def _ask(self, pack: Pack, askers: Sequence[Asker]) -> APIResponse[object]:
        records = [asker.record for asker in askers if asker.record is not None]
        record: Record | None = None
        if records:
            alone = len(askers) == 1
            record = records[0] if alone else PackRecord(records, _rows(askers))

        def write_off(response: APIResponse[object]) -> None:
            for asker, bill in zip(askers, bills(response, _rows(askers)), strict=True):
                _count(asker, bill, self._write_off)

        return await self._sender.answer(
            _together(askers),
            pack.order,
            pack.scope,
            record,
            write_off,
            may_move=pack.may_move,
        )


class PackingPipeline(Pipeline):
    """The way of a row that may be asked together with others."""

    def __init__(self, sender: Sender, scope: LoopScope, **rest: Any) -> None:
        super().__init__(sender, scope, **rest)
        self._attempt = Packer(sender, self._write_off).answer


def _bounds(order: Order) -> tuple[int, float]:
    """How many texts, and tokens, a pack may have on any of these routes."""
    items, tokens = [], [float("inf")]
    for state in order.lanes:
        offer = state.route.offer(Embed.name)
        items.append(1 if offer is None else offer.items)
        if offer is not None and offer.tokens is not None:
            tokens.append(offer.tokens)
        if state.counts_tokens:
            tokens.append(state.most_input / PORTION)
    return min(items), min(tokens)


def _sent_with(params: SamplingParams | None) -> str | None:
    """Rows with equal parameters go out together, though each has brought its own."""
    return None if params is None else repr(params.given())


def _count(asker: Asker, outcome: APIResponse[object] | Exception, write_off: WriteOff) -> None:
    """A row has left: what came of it, and is not counted yet, is the run's all the same."""
    if isinstance(outcome, MovedOn):
        outcome = expired(outcome.context)
    if isinstance(outcome, HeadraceError):
        outcome = failed(asker.context, outcome)
    if not isinstance(outcome, Exception):
        write_off(beyond(outcome, asker.counted))
        asker.counted = outcome


def _rows(askers: Sequence[Asker]) -> list[tuple[RequestContext, int]]:
    return [(asker.context, asker.weight) for asker in askers]


def _together(askers: Sequence[Asker]) -> RequestContext:
    """One request for all; the deadline of each is kept where it waits."""
    first = askers[0].context
    if len(askers) == 1:
        return replace(first, deadline=None)
    items = tuple(a.context.asked for a in askers)
    return replace(
        first,
        prompt=EmbedPack(tuple(item for item in items if isinstance(item, Embed))),
        deadline=None,
        spent_nanos=sum(a.context.spent_nanos for a in askers),
    )
