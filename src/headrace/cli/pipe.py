"""Lines of a pipe or a terminal, which come by and by: the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from headrace.cli.forms import check_form

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHUNK: Final = 1 << 16


async def lines_of(fd: int, path: str, command: str) -> AsyncIterator[bytes]:
    """Its lines; raises ``ConfigError`` where what comes first is of another form."""

    def read() -> bytes:
        return os.read(fd, CHUNK)

    chunk = await _first_line(read)
    check_form(chunk, path, command)
    parts: list[bytes] = []
    while chunk:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*parts, line))
            parts.clear()
        parts.append(rest)
        chunk = await _beside(read)
    yield b"".join(parts)


async def _first_line(read: Callable[[], bytes]) -> bytes:
    """What comes first: a whole line that is not blank, or enough of one to tell its form."""
    head = chunk = await _beside(read)
    while chunk and b"\n" not in head.lstrip() and len(head) < CHUNK:
        chunk = await _beside(read)
        head += chunk
    return head


async def _beside(read: Callable[[], bytes]) -> bytes:
    """Call ``read`` in a thread that does not keep the program from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def settle(chunk: bytes, error: OSError | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(chunk)
        else:
            future.set_exception(error)

    def work() -> None:
        chunk, failure = b"", None
        try:
            chunk = read()
        except OSError as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, chunk, failure)

    threading.Thread(target=work, name="headrace-input", daemon=True).start()
    return await future
