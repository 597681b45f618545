"""Answers in one SQLite file that loops, threads and processes share.

One thread owns the connection. Gets and puts gather while it works; it takes what has gathered,
answers the gets, writes the puts in one transaction, and wakes each event loop once a batch. A put
is seen by gets at once, from what is not written yet. Whatever goes wrong with the file costs a
hit, never a request: a get is a miss, a put is dropped, and the log says so once for each kind.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.adapters.cache.base import Statistics, is_storable
from headrace.adapters.cache.file import (
    AnswerFile,
    Behind,
    Replaced,
    checked_place,
    explained,
    is_locked,
    quiet,
)
from headrace.core.fingerprint import Key
from headrace.wire import record

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.core.response import APIResponse

BATCH: Final = 2_000  # a transaction that stays far shorter than the patience of other processes
LEAST_REST: Final = 0.02  # seconds between two transactions, for other processes and more puts
BRIEF: Final = 0.01  # the part of the patience that is left while a lock is known to be stuck

_Answer: TypeAlias = "asyncio.Future[bytes | None]"
_Reads: TypeAlias = "list[tuple[Key, _Answer]]"
_Puts: TypeAlias = dict[Key, bytes]

_log: Final = logging.getLogger("headrace.cache")


class SqliteCache:
    """Answers in one file, shared by the loops, threads and processes of one host.

    The place is checked now (``ConfigError``); the file is opened by its thread at first use. A put
    returns when it is handed over; ``aclose`` and the end of the process write what is left. After
    ``aclose`` the next use opens the file again. ``patience`` is in seconds, for a lock that
    another process holds; no more than ``most_unwritten`` bytes wait to be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        patience: float = 5.0,
        most_unwritten: int = 256 << 20,
    ) -> None:
        self.path = checked_place(path)
        self._owner = _Owner(self.path, patience, most_unwritten)
        self._hits = self._misses = 0
        # At the end of the process _close_all waits for the thread; a collector must not.
        weakref.finalize(self, self._owner.end).atexit = False

    async def get(self, key: Key) -> APIResponse[object] | None:
        """The answer as it was put, without the fields of a row, or None."""
        data = self._owner.unwritten(key)
        if data is None:
            data = await self._owner.read(key)
        response = None if data is None else self._load(data)
        if response is None:
            self._misses += 1
        else:
            self._hits += 1
        return response

    async def put(self, key: Key, response: APIResponse[object]) -> None:
        """Hand a whole answer over to be written; a get sees it from now on."""
        if not is_storable(response):
            return
        try:
            self._owner.write(key, record.dump(response))
        except ValueError as error:
            self._owner.note(error)

    async def aclose(self) -> None:
        """Write what was put and close the file."""
        await asyncio.to_thread(self._owner.close)

    def statistics(self) -> Statistics:
        """What this process did with the file; ``stored`` counts what is safely written."""
        return Statistics(self._hits, self._misses, self._owner.stored, self._owner.errors)

    def _load(self, data: bytes) -> APIResponse[object] | None:
        try:
            return record.load(data)
        except ValueError as error:
            self._owner.note(error)
            return None


class _Owner:
    """The thread that owns a file, and what waits for it.

    The open file is known to the thread's frame alone: a forked child neither resumes nor frees
    that frame, so nothing there can close what belongs to the parent.
    """

    def __init__(self, path: Path, patience: float, most_unwritten: int) -> None:
        self._path = path
        self._full_patience = self._patience = patience
        self._most_unwritten = most_unwritten
        self._said: set[str] = set()
        self.stored = self.errors = 0
        self.begin_anew()
        _owners.add(self)

    def begin_anew(self) -> None:
        """Forget what waits and the thread, as a forked child must: they are its parent's."""
        # Reentrant: a collector may call end() in the middle of anything.
        self._wake = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._idle = self._ending = False
        self._puts: _Puts = {}
        self._put_bytes = 0
        self._reads: _Reads = []
        self._rests_until = 0.0

    def unwritten(self, key: Key) -> bytes | None:
        """What was put under the key and is not in the file yet."""
        with self._wake:
            return self._puts.get(key)

    def read(self, key: Key) -> _Answer:
        """The record in the file, or None, when the thread has come to it."""
        answer: _Answer = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._is_running():
                self._reads.append((key, answer))
                self._nudge()
            else:
                answer.set_result(None)
        return answer

    def write(self, key: Key, data: bytes) -> None:
        """Hand a record over; it is dropped where the file falls too far behind."""
        with self._wake:
            growth = len(data) - len(self._puts.get(key, b""))
            if self._put_bytes + growth > self._most_unwritten:
                self.note(Behind())
            elif self._is_running():
                if not self._puts:
                    self._nudge()
                self._put_bytes += growth
                self._puts[key] = data

    def end(self) -> threading.Thread | None:
        """Have the thread write what was put, close the file and end; return the thread."""
        with self._wake:
            self._ending = self._thread is not None
            self._wake.notify()
            return self._thread

    def close(self) -> None:
        """Return when the thread has ended; never call it from a finalizer."""
        if (thread := self.end()) is not None:
            thread.join()

    def note(self, error: Exception, lost: int = 1) -> None:
        """Count what was lost, and say why once for each kind of trouble."""
        self.errors += lost
        kind, sentence = explained(self._path, error)
        if kind not in self._said:
            self._said.add(kind)
            _log.warning("%s", sentence)

    def _is_running(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="headrace-cache", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no thread begins while the interpreter ends
                self.note(error)
                return False
            self._thread = thread
        return True

    def _nudge(self) -> None:
        if self._idle:
            self._wake.notify()

    def _run(self) -> None:
        file: AnswerFile | None = None
        while (batch := self._next_batch()) is not None:
            with quiet:
                file = self._serve(file, *batch)
        if file is not None:
            with quiet:
                file.close()

    def _next_batch(self) -> tuple[_Reads, _Puts] | None:
        with self._wake:
            while not (self._reads or self._may_write()):
                if self._ending:
                    self._ending, self._thread = False, None
                    return None
                self._idle = True
                self._wake.wait(self._rest() if self._puts else None)
                self._idle = False
            reads, self._reads = self._reads, []
            return reads, dict(islice(self._puts.items(), BATCH * self._may_write()))

    def _may_write(self) -> bool:
        return bool(self._puts) and (self._ending or not self._rest())

    def _rest(self) -> float:
        return max(0.0, self._rests_until - time.monotonic())

    def _serve(self, file: AnswerFile | None, reads: _Reads, puts: _Puts) -> AnswerFile | None:
        try:
            file = self._current(file)
            if reads:
                _tell(reads, file.read({key for key, _ in reads}))
                reads = []
            self._write(file, puts)
            self._patience = self._full_patience
        except Exception as error:  # noqa: BLE001  whatever it is, no request may wait for ever
            self._give_up(file, error, len(reads) + len(puts))
            file = None
        _tell(reads, {})
        self._drop(puts)
        return file

    def _write(self, file: AnswerFile, puts: _Puts) -> None:
        if puts:
            began = time.monotonic()
            try:
                file.write(puts)
            finally:
                # SQLite's locks are not fair: who writes without a pause starves everybody else.
                ended = time.monotonic()
                self._rests_until = ended + max(LEAST_REST, ended - began)
            self.stored += len(puts)

    def _current(self, file: AnswerFile | None) -> AnswerFile:
        if file is None:
            return AnswerFile(self._path, self._patience)
        if file.is_in_place():
            file.be_patient(self._patience)
            return file
        file.close()
        self.note(Replaced(), lost=0)
        return AnswerFile(self._path, self._patience)

    def _give_up(self, file: AnswerFile | None, error: Exception, lost: int) -> None:
        self.note(error, lost)
        if is_locked(error):
            self._patience = self._full_patience * BRIEF
        if file is not None:
            file.close()

    def _drop(self, puts: _Puts) -> None:
        with self._wake:
            for key, data in puts.items():
                if self._puts[key] is data:
                    del self._puts[key]
                    self._put_bytes -= len(data)


def _tell(reads: _Reads, found: dict[Key, bytes]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Answer, bytes | None]]] = {}
    for key, answer in reads:
        loops.setdefault(answer.get_loop(), []).append((answer, found.get(key)))
    for loop, answers in loops.items():
        with contextlib.suppress(RuntimeError):  # a closed loop: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: list[tuple[_Answer, bytes | None]]) -> None:
    for answer, data in answers:
        if not answer.done():
            answer.set_result(data)


def _close_all() -> None:
    for owner in list(_owners):
        owner.close()


def _forget_all() -> None:
    quiet.release()
    for owner in list(_owners):
        owner.begin_anew()


_owners: Final[weakref.WeakSet[_Owner]] = weakref.WeakSet()
# Runs while daemon threads still live.
atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(
        before=quiet.acquire, after_in_parent=quiet.release, after_in_child=_forget_all
    )
