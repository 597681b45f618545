"""A request that takes long is sent a second time, and the first recorded reply wins.

Both copies are attempts like any other: each is admitted, stands in the journal with its intent,
is settled and judged by itself. What they share is the request's course, and so one record. Three
rules keep that sound:

- Who wins is decided in one step without an await, between the reply and its record
  (``HedgedCourse.finish``): there the other copy is given up, so that no second answer can be
  recorded, and no paid reply waits for a turn of the loop in which its caller may leave.
- A copy that fails is settled, recorded and counted at once, but what follows from it waits for the
  other one. Two failures cost one attempt, and the graver decision holds.
- A copy that has not been sent when the first one ends has never been: it leaves the line.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headrace.core.errors import Charged, DeadlineError, HeadraceError
from headrace.engine.course import Course, MovedOn
from headrace.policy import hedging, retry
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import TypeAlias

    from headrace.core.errors import ProviderError
    from headrace.core.response import APIResponse
    from headrace.engine.admission import Permit
    from headrace.engine.hedge_book import Paid
    from headrace.engine.hedging import HedgedCourse, HedgedSender
    from headrace.engine.loops import LoopScope
    from headrace.engine.outcomes import Record

    Answer: TypeAlias = APIResponse[object] | None


class Copy:
    """One of the copies of a race; it has no permit while it stands in line."""

    __slots__ = ("is_given_up", "is_lost", "permit", "running")

    def __init__(self, permit: Permit | None = None) -> None:
        self.permit = permit
        self.is_given_up = self.is_lost = False

    def begin(self, going: Coroutine[object, object, Answer]) -> None:
        """Let it go, beside whoever waits for it."""
        self.running = asyncio.ensure_future(going)

    @property
    def is_sent(self) -> bool:
        """Was it sent, as far as the engine knows?"""
        return self.permit is not None and self.permit.send > 0

    @property
    def is_open(self) -> bool:
        """Has it no outcome yet?"""
        return self.permit is None or not self.permit.is_over

    def give_up(self) -> None:
        """Nobody waits for it any more; what becomes of it, if it was sent, nobody will know."""
        if not self.is_given_up:
            self.is_given_up, self.is_lost = True, self.is_sent and self.is_open
        self.running.cancel()


class Race:
    """One attempt, and the second copy of it where it takes long."""

    def __init__(
        self,
        sender: HedgedSender,
        course: HedgedCourse,
        permit: Permit,
        scope: LoopScope,
        record: Record | None,
    ) -> None:
        """``permit`` is the first copy's."""
        self._sender = sender
        self._course = course
        self._permit = permit
        self._scope = scope
        self._record = record
        self._first = Copy(permit)
        self._copies = [self._first]
        self._paid: Paid | None = None
        self.verdict: tuple[ProviderError, retry.Decision] | None = None
        self.is_counted = False
        self._free: set[int | None] = set()  # sends that cost nothing

    async def run(self) -> None:
        """Return when no copy is under way; raises what ends the request."""
        self._first.begin(self._sender.send(self._course, self._permit, self._scope, self._record))
        try:
            await self._until_slow()
            while left := [copy.running for copy in self._copies if not copy.running.done()]:
                await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                self._look()
            self._look()
        except GeneratorExit:  # its loop is closed, and so are they; nothing may wait for the lock
            raise
        except BaseException as error:
            await self._end(error)
            if isinstance(error, DeadlineError):
                raise self._course.expired() from None
            raise
        self._settle()

    def win(self, permit: Permit) -> Permit | None:
        """An answer came with this permit; returns the first's, if it came or is given up now.

        Raises ``CancelledError`` in a copy that was given up before, and came all the same.
        """
        if self._course.response is not None:
            raise asyncio.CancelledError
        for copy in self._copies:
            if copy.permit is not permit and copy.is_open:
                self._lose(copy)
        return self._permit if permit is self._permit or self._first.is_lost else None

    def note(self, error: ProviderError, decision: retry.Decision) -> None:
        """A copy failed. What is final holds, else the longer wait; one retry is paid at most."""
        if error.charged is Charged.NO:
            self._free.add(error.attempt)
        if self.verdict is None:
            self.verdict = (error, decision)
            return
        known, before = self.verdict
        if isinstance(before, retry.GiveUp):
            self._sender.give_back(decision)
        elif isinstance(decision, retry.GiveUp):
            self._sender.give_back(before)
            self.verdict = (error, decision)
        else:
            graver = error if decision.wait > before.wait else known
            wait, counted = max(decision.wait, before.wait), decision.counted or before.counted
            self.verdict = (graver, retry.Retry(wait, counted))

    async def _until_slow(self) -> None:
        """Begin with the second copy when the first is slow, unless it ends before."""
        while not self._first.running.done():
            wait = self._wait()
            if wait == 0:
                second = Copy()
                self._copies.append(second)
                second.begin(self._go_second(second))
                return
            await asyncio.wait({self._first.running}, timeout=wait / SECOND)

    def _wait(self) -> int:
        """Nanoseconds until it has to be looked at again; 0: it is slow, and a copy is paid."""
        permit, sender = self._permit, self._sender
        now = sender.clock.now()
        with sender.admission.lock:
            wait = sender.book.wait(permit, now)
            if wait == 0:
                self._paid = sender.book.draw(permit, now)
        is_dear = wait == 0 and self._paid is None
        return hedging.later(now - permit.admitted_at) if is_dear else wait

    async def _go_second(self, copy: Copy) -> Answer:
        """Stand in line behind all others, for another route if one has room; then send."""
        sender, course = self._sender, self._course
        try:
            order = course.order.behind(self._permit.state)
            line = Course(course.context, order, sender.admission.number())
            line.sends = course.sends
            copy.permit = await sender.admit(line, self._scope)
            if not self._first.is_open:
                sender.withdraw(copy.permit)
                return None
            return await sender.send(course, copy.permit, self._scope, self._record)
        except (HeadraceError, MovedOn):
            is_idle = self._first.is_open or not copy.is_sent
            if is_idle and course.response is None:
                return None  # the first goes on, or its own failure counts
            raise

    def _look(self) -> None:
        """A copy has ended: raise what ends the request, and see whether the other is of use."""
        for copy in self._copies:
            if copy.running.done() and not copy.is_given_up:
                copy.running.result()
        if self._first.running.done():
            for copy in self._copies[1:]:
                if not copy.is_sent:
                    copy.give_up()

    def _lose(self, copy: Copy) -> None:
        """Give it up, and let the course know that it was sent."""
        is_known = copy.is_given_up
        copy.give_up()
        if not is_known and copy.is_lost and copy.permit is not None:
            self._course.lose(copy.permit.send, copy.permit.state.route.id)

    async def _end(self, error: BaseException) -> None:
        """Cancel what is under way, and wait until it has given back what it holds."""
        # Of those that are left by any other error the course knows by itself.
        drop = self._lose if isinstance(error, HeadraceError) else Copy.give_up
        for copy in self._copies:
            if not copy.running.done():
                drop(copy)
        await asyncio.wait([copy.running for copy in self._copies])
        if not self._permit.is_over:  # it had not begun
            self._sender.break_off(self._course, self._permit, error, self._record)
        self._settle()

    def _settle(self) -> None:
        """Count what became of the copies, and pay what the second one has cost."""
        for copy in self._copies:
            if copy.running.done() and not copy.running.cancelled():
                copy.running.exception()  # or asyncio would say that nobody has asked
        if self._paid is None:
            return
        second = self._copies[-1]
        now, cost = self._sender.clock.now(), self._cost(second, self._paid)
        with self._sender.admission.lock:
            self._paid.purse.settle(self._paid.amount, cost)
            for copy in self._copies:
                if copy.permit is not None and copy.is_sent:
                    tally = copy.permit.state.tally
                    tally.hedged += copy is second
                    if copy.is_lost and self._course.response is not None:
                        tally.give_up(now)

    def _cost(self, copy: Copy, paid: Paid) -> float:
        """What it has cost, or would have, had its answer come; as paid where nobody knows."""
        permit, response = copy.permit, self._course.response
        if permit is None or not permit.send or permit.send in self._free:
            return 0
        nanos = permit.billed
        if copy.is_lost and response is not None and response.usage is not None:
            nanos = permit.state.pricing.quote(response.usage, None)
        return paid.amount if nanos is None or not paid.is_money else nanos
