"""The journal of a run: the truth of what was sent, answered, and failed.

*Nothing lost, nothing paid twice* hangs on three orders. An intent is written before its send, so
that a resume can say what was in flight. An answer is on the disk before anybody sees it, so that
whatever was seen is never sent again. And room on the disk is taken before a send, so that a full
disk stops new sends while replies to the old ones still find their place.

Group commit. All appends come from one loop thread. What one turn of the loop appends is a group:
one write at the end of the turn, for which sends wait, then one fsync in a thread of its own, and
while that runs the next groups collect for the next. A busy loop can starve that thread of the
interpreter lock; ``docs/decisions/0002-one-fsync.md`` says when it stands aside for it.

Errors. A failed write or fsync ends the journal: every waiter and every later call gets
``JournalError``. An fsync is never repeated, since after a failed one the kernel takes the lost
pages for clean, and the next one "succeeds" (Rebello et al., "Can Applications Recover from fsync
Failures?", USENIX ATC 2020). What is in the file is sorted out by recovery at the next opening.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from headrace.adapters.clock import SystemClock
from headrace.adapters.disk import FULL, LocalDisk, explain
from headrace.core.errors import JournalError
from headrace.engine import journal_format as form
from headrace.engine.journal_recovery import SEGMENT, Recovered, State, prepare, recover
from headrace.engine.journal_sync import Fsync, resolve

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from headrace.adapters.clock import Clock
    from headrace.adapters.disk import Disk, File
    from headrace.core.reply import Reply
    from headrace.engine.journal_format import Failure, Found

__all__ = ["LEAST_RESERVE", "MOST_RESERVE", "PACE", "SEGMENT", "STARVED", "Journal", "Recovered"]

T = TypeVar("T")
LEAST_RESERVE: Final = 256 << 10
MOST_RESERVE: Final = 64 << 20
"""Room kept for replies in flight: at least, and at most however large they are."""

PACE: Final = 25_000_000
"""Nanoseconds between the beginnings of two fsyncs."""

STARVED: Final = 50_000_000
"""Nanoseconds after which an fsync under way is helped along."""

_USUAL_LINE: Final = 4096
_PEEK: Final = 4096
_log: Final = logging.getLogger("headrace")


class Journal:
    """One journal file, open for one writer; ``docs/journal.md`` is its promise and format.

    About 150 bytes of memory a row that has an answer; bodies are never held. Opening needs no
    event loop; what records belongs to one loop's thread.
    All methods raise ``JournalError`` once a write or an fsync has failed, and after closing.
    """

    def __init__(self, file: File, state: State, clock: Clock) -> None:
        """For ``open``; ``state`` is what ``recover`` found."""
        self.path = file.path
        self.recovered = state.counted()
        self._file = file
        self._clock = clock
        self._answers = state.answers
        self._failures = state.failures
        self._in_flight: set[bytes] = set()
        self._crc = state.crc
        self._end = self._written = self._synced = self._marked = state.end
        self._room = file.size()
        self._usual = _USUAL_LINE
        self._group: list[bytes] = []
        self._unsent: list[asyncio.Future[None]] = []  # for the write
        self._waiters: list[asyncio.Future[None]] = []  # for the fsync
        self._flushing_on: asyncio.AbstractEventLoop | None = None
        self._pausing_on: asyncio.AbstractEventLoop | None = None
        self._over: str | None = None
        self._fsync = Fsync(file)
        self._under_way: asyncio.Future[None] | None = None
        self._syncing: list[asyncio.Future[None]] = []
        self._syncing_upto = 0
        self._syncing_since = 0

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        disk: Disk | None = None,
        clock: Clock | None = None,
    ) -> Journal:
        """Open or make the journal at ``path``, take its lock, and read it.

        What a crash tore off is cut. Raises ``JournalError`` where another writer has the file,
        where it is damaged, of another format or no journal at all, or cannot be used.
        """
        disk, clock = disk or LocalDisk(), clock or SystemClock()
        place = Path(path).expanduser()
        try:
            file = disk.open_append(place)
        except OSError as error:
            raise JournalError(f"cannot open the journal {explain(error, place)}") from error
        try:
            disk.lock(file)
            state = recover(file)
            prepare(file, state, clock.wall())
        except OSError as error:
            file.close()
            raise JournalError(f"cannot use the journal {explain(error, place)}") from error
        except JournalError:
            file.close()
            raise
        if state.torn:
            _log.info("%s: %d bytes that a crash left unfinished were cut off", path, state.torn)
        return cls(file, state, clock)

    def find(self, key: bytes) -> Found | None:
        """The answer recorded last for the row ``key``, read from the disk; None: there is none."""
        self.check()
        at = self._answers.get(key)
        return None if at is None else self._read(key, at, form.read_answer)

    def failure(self, key: bytes) -> Failure | None:
        """The failure recorded last for a row without an answer; None: there is none."""
        self.check()
        at = self._failures.get(key)
        return None if at is None else self._read(key, at, form.read_failure)

    def run(self, models: tuple[str, ...]) -> None:
        """Note that a run begins; written with the next group."""
        self.check()
        self._append(form.run(models, self._clock.wall()))

    def intent(self, key: bytes, route: str, n: int) -> asyncio.Future[None]:
        """Note that send ``n`` of the row ``key`` goes out by ``route``; done when it is written.

        Raises ``JournalError`` where the disk has no room for it and more replies: do not send.
        """
        self.check()
        self._in_flight.add(key)
        reserve = min(LEAST_RESERVE + 2 * len(self._in_flight) * self._usual, MOST_RESERVE)
        if self._end + reserve > self._room:
            self._make_room(key, reserve)
        self._append(form.intent(key, route, n))
        return self._wait(self._unsent)

    def withdraw(self, key: bytes, n: int, code: str) -> None:
        """Note that send ``n`` cost nothing, as ``code`` says; written with the next group."""
        self.check()
        self._in_flight.discard(key)
        self._append(form.withdrawn(key, n, code))

    def answer(  # noqa: PLR0917  what a record holds, in its order
        self,
        key: bytes,
        route: str,
        model: str,
        reply: Reply | None,
        value: bytes | None = None,
        extras: Mapping[str, object] | None = None,
    ) -> asyncio.Future[None]:
        """Record an answer: a raw ``reply``, else ``value`` (JSON); done when it is on the disk.

        A cancellation of the waiting does not undo it. ``extras`` is free JSON; ``TypeError`` or
        ``ValueError`` where it, or ``value``, is not JSON.
        """
        self.check()
        if reply is None:
            record = form.value(key, route, model, b"null" if value is None else value, extras)
        else:
            record = form.reply(b"a", key, route, model, reply, extras)
        self._usual += (len(record) - self._usual) >> 4
        self._answers[key] = self._append(record)
        self._in_flight.discard(key)
        self._failures.pop(key, None)
        return self._wait(self._waiters)

    def unreadable(
        self,
        key: bytes,
        route: str,
        model: str,
        reply: Reply,
        extras: Mapping[str, object] | None = None,
    ) -> asyncio.Future[None]:
        """Record a reply that is no answer but may have been paid for, as ``answer`` does."""
        self.check()
        self._append(form.reply(b"u", key, route, model, reply, extras))
        return self._wait(self._waiters)

    def failed(
        self,
        key: bytes,
        error: Mapping[str, object],
        extras: Mapping[str, object] | None = None,
    ) -> asyncio.Future[None]:
        """Record a final failure, as ``answer`` does. It does not undo an answer."""
        self.check()
        at = self._append(form.failed(key, error, extras))
        if key not in self._answers:
            self._failures[key] = at
        self._in_flight.discard(key)
        return self._wait(self._waiters)

    async def aclose(self) -> None:
        """Wait until everything is on the disk, then ``close``."""
        try:
            if self._over is None and self._end > self._synced:
                await self._wait(self._waiters)
        finally:
            self.close()

    def close(self) -> None:
        """Write and sync what is left, cut the unused room, give up the lock; twice is fine.

        Raises ``JournalError`` where that fails; the file is closed all the same.
        """
        try:
            if self._over is None:
                self._finish()
        finally:
            self._end_with("the journal is closed; open it again")
            self._fsync.close()
            self._file.close()

    def check(self) -> None:
        """Raise ``JournalError`` where nothing can be recorded any more: do not send."""
        if self._over is not None:
            raise JournalError(self._over)

    def _append(self, record: bytes) -> int:
        """Take a record into the chain and the turn's group; returns the offset of its line."""
        if self._synced > self._marked and not self._group:
            self._marked = self._synced
            self._append(form.mark(self._marked))
        self._group.append(record)
        at = self._end
        self._end = at + len(record) + form.FRAME
        return at

    def _flush_soon(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._flushing_on is not loop:
            self._flushing_on = loop
            loop.call_soon(self._flush)
        return loop

    def _wait(self, waiters: list[asyncio.Future[None]]) -> asyncio.Future[None]:
        # A future for each waiter: one that all share would be cancelled by the first of them.
        waiter = self._flush_soon().create_future()
        waiters.append(waiter)
        return waiter

    def _flush(self) -> None:
        """The one write of a turn."""
        self._flushing_on = None
        if self._over is not None or not self._write():
            return
        if self._under_way is None or self._under_way.get_loop().is_closed():
            if self._waiters:
                self._sync_in_time()
        elif self._clock.now() - self._syncing_since > STARVED:
            self._fsync.stand_aside()

    def _write(self) -> bool:
        if not self._group:
            resolve(self._unsent)  # if an interrupt has kept that from happening
            return True
        data, crc = form.lines(self._group, self._crc)
        # A KeyboardInterrupt may strike here and keep all below from happening: then the next one
        # writes the same again in the same place.
        self._file.end = self._written
        try:
            self._file.write(data)
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._written)
            self._fail("written", error)
            return False
        self._written, self._crc, self._group = self._file.end, crc, []
        self._room = max(self._room, self._written)
        resolve(self._unsent)
        return True

    def _sync_in_time(self) -> None:
        """At once, or when the last one is ``PACE`` ago: each costs as much as some requests."""
        wait = self._syncing_since + PACE - self._clock.now()
        loop = asyncio.get_running_loop()
        if wait <= 0:
            self._sync()
        elif self._pausing_on is not loop:
            self._pausing_on = loop
            loop.call_later(wait / 1e9, self._flush_at_last)

    def _flush_at_last(self) -> None:
        self._pausing_on = None
        if self._under_way is None:
            self._syncing_since -= PACE
        self._flush()

    def _sync(self) -> None:
        self._syncing, self._waiters = self._waiters, []
        self._syncing_upto = self._written
        self._syncing_since = self._clock.now()
        self._under_way = self._fsync.start(asyncio.get_running_loop())
        self._under_way.add_done_callback(self._after_sync)

    def _after_sync(self, _: asyncio.Future[None]) -> None:
        self._under_way = None
        if self._over is not None:
            return
        if self._fsync.error is not None:
            self._fail("synced", self._fsync.error)
            return
        self._synced = self._syncing_upto
        resolve(self._syncing)
        if self._waiters:
            self._flush()

    def _make_room(self, key: bytes, reserve: int) -> None:
        upto = self._end + reserve + SEGMENT
        try:
            self._file.preallocate(upto)
        except OSError as error:
            self._in_flight.discard(key)
            if error.errno not in FULL:
                raise self._fail("extended", error) from error
            raise JournalError(
                f"no room on the disk for more replies in the journal "
                f"{explain(error, self.path)}, and run the same again"
            ) from error
        self._room = upto

    def _read(self, key: bytes, at: int, reader: Callable[[bytes], T]) -> T:
        if at >= self._written:
            self._write()
            self.check()
        try:
            text, end, _ = self._read_line(at).partition(b"\n")
        except OSError as error:
            raise JournalError(f"cannot read the journal {explain(error, self.path)}") from error
        try:
            return reader(form.of_row(text, key) if end else b"")
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(
                f"{self.path}: the record at byte {at} has changed since the journal was opened; "
                "restore the file from a copy and run the same again"
            ) from error

    def _read_line(self, at: int) -> bytes:
        size = _PEEK
        while b"\n" not in (text := self._file.read_at(at, size)) and len(text) == size:
            size *= 4
        return text

    def _finish(self) -> None:
        self._write()
        self._fsync.close()
        self.check()
        try:
            if self._fsync.error is not None:
                raise self._fsync.error
            if self._written > self._marked:
                self._file.fsync()
                self._append_mark()
            self._file.truncate(self._written)
            self._file.fsync()
        except OSError as error:
            raise self._fail("synced", error) from error
        resolve(self._syncing)
        resolve(self._waiters)

    def _append_mark(self) -> None:
        """So that recovery knows the last group, too, as synced."""
        text, self._crc = form.lines([form.mark(self._written)], self._crc)
        self._file.write(text)
        self._written += len(text)

    def _fail(self, what: str, error: OSError) -> JournalError:
        self._end_with(
            f"the journal cannot be {what}: {explain(error, self.path)}, and run the same again; "
            "what was promised is safe"
        )
        return JournalError(f"{self._over}")

    def _end_with(self, message: str) -> None:
        self._over = self._over or message
        self._group.clear()
        for waiters in (self._unsent, self._syncing, self._waiters):
            resolve(waiters, self._over)
