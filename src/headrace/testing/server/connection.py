"""One connection: HTTP/1.1 in and out by hand, because faults live below what HTTP libraries do.

Requests on a connection are answered one after the other. The good and quick way through here
makes no coroutine and few objects; only faults do.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from headrace.testing.seen import Answer, Headers, RequestSeen, Throttled, hint_of

if TYPE_CHECKING:
    from headrace.testing.faults import Fault
    from headrace.testing.server.dialects import Dialect
    from headrace.testing.server.ledger import Ledger

MAX_HEAD: Final = 256 * 1024
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_NO_BODY: Final = frozenset({204, 304})


class Head(NamedTuple):
    """The head of a request; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    length: int
    is_last: bool
    query: str


class App(Protocol):
    """Whom a connection serves."""

    ledger: Ledger

    def serve(self, connection: Connection, head: Head, body: bytes, at: float) -> None:
        """Answer a request, now or later; ``at`` is when its first byte came."""

    def opened(self, connection: Connection) -> None:
        """Take note of a new connection."""

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""

    def failed(self, error: Exception) -> None:
        """Keep an error of a plan, a fault or an answer function, to raise it at the end."""


class Connection(asyncio.Protocol):
    """Reads requests and writes replies."""

    def __init__(self, app: App) -> None:
        """Made by the listening socket."""
        self.number = app.ledger.connect()
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._head: Head | None = None
        self._began = 0.0
        self._seen: RequestSeen | None = None
        self._busy = False
        self._body_at = 0
        self._is_last = False
        self._later: asyncio.TimerHandle | None = None
        self._playing: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._app.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop whatever is still going on."""
        del exc
        self._app.ledger.connections -= 1
        self.resume_writing()
        if self._later is not None:
            self._later.cancel()
        if self._playing is not None:
            self._playing.cancel()
        elif self._seen is not None:
            self._app.ledger.abandoned += 1
            self.end()
        self._app.lost(self)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """The client has caught up, or is gone."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Collect bytes, and serve a request when it is whole."""
        if not self._buffer:
            self._began = time.monotonic()
        self._buffer += data
        if not self._busy:
            self._advance()

    def _advance(self) -> None:
        if self._busy or self._transport.is_closing():
            return
        try:
            whole = self._take()
        except ValueError as error:
            self.refuse(400, str(error))
            return
        if whole is None:
            return
        self._busy = True
        try:
            self._app.serve(self, *whole, self._began)
        except Exception as error:  # noqa: BLE001 - a test's own plan or answer function failed
            self._app.failed(error)
            self.close()
            self.end()

    def _take(self) -> tuple[Head, bytes] | None:
        """The next request, if all of it is here."""
        if self._head is None and not self._take_head():
            return None
        head = cast("Head", self._head)
        stop = self._body_at + head.length
        if len(self._buffer) < stop:
            return None
        body = bytes(self._buffer[self._body_at : stop])
        del self._buffer[:stop]
        self._head, self._is_last = None, head.is_last
        return head, body

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                msg = "the head of the request is too long"
                raise ValueError(msg)
            return False
        self._head = read_head(bytes(self._buffer[:end]))
        self._body_at = end + 4
        if self._head.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def expect(self, seen: RequestSeen) -> None:
        """A counted request is being answered, until ``end``."""
        self._seen = seen

    def refuse(self, status: int, message: str) -> None:
        """Answer what is not even a request, and close."""
        self._is_last = True
        self.respond(Answer(status, message.encode(), content_type="text/plain"))

    def respond(self, answer: Answer) -> None:
        """Write a whole reply and be ready for the next request."""
        self._transport.write(self.compose(answer))
        self.end()

    def respond_later(self, seconds: float, answer: Answer) -> None:
        """Write the honest answer after so many seconds."""
        self._later = self._loop.call_later(seconds, self.respond_honestly, answer)

    def respond_honestly(self, answer: Answer) -> None:
        """Write the honest answer, and count it as such."""
        self._later = None
        self._transport.write(self.compose(answer))
        self.end(answered=True)

    def play(self, fault: Fault, delay: float, turn: Turn) -> None:
        """Let a fault go its way after ``delay`` seconds; the next request comes after it."""
        self._playing = self._loop.create_task(_play(fault, delay, turn))
        self._playing.add_done_callback(lambda playing: self._played(playing, turn))

    def _played(self, playing: asyncio.Task[None], turn: Turn) -> None:
        self._playing = None
        if playing.cancelled():
            self._app.ledger.abandoned += 1
        elif isinstance(error := playing.exception(), Exception):
            self._app.failed(error)
            self.close()
        self.end(answered=turn.answered)

    def end(self, *, answered: bool = False) -> None:
        """The request is over."""
        seen, self._seen = self._seen, None
        if seen is not None:
            self._app.ledger.end(seen.prompt, answered=answered)
        self._busy = False
        if self._is_last:
            self.close()
        elif self._buffer:
            self._began = time.monotonic()
            self._loop.call_soon(self._advance)

    def compose(self, answer: Answer) -> bytes:
        """A whole reply as bytes."""
        if answer.status in _NO_BODY:
            return self.compose_head(answer, ())
        length = (("content-length", str(len(answer.body))),)
        return self.compose_head(answer, length) + answer.body

    def compose_head(self, answer: Answer, framing: Headers) -> bytes:
        """The head of a reply as bytes; a 429 is noted as sent."""
        status, seen, ledger = answer.status, self._seen, self._app.ledger
        ledger.statuses[status] += 1
        if status == HTTPStatus.TOO_MANY_REQUESTS and seen is not None:
            hint = hint_of(answer.headers)
            ledger.throttled.append(Throttled(time.monotonic(), hint, seen.scope))
        number = ledger.total if seen is None else seen.n
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}",
            f"content-type: {answer.content_type}\r\nx-request-id: req_{number:024x}",
        ]
        lines += [f"{name}: {value}" for name, value in (*answer.headers, *framing)]
        if self._is_last:
            lines.append("connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def write_soon(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._transport.write(data)

    async def write(self, data: bytes) -> None:
        """Write bytes as they are, as fast as the client reads them."""
        self._transport.write(data)
        if self._writable is not None:
            await self._writable
        elif self._transport.is_closing():
            # The client is gone: a turn in which whoever writes without end can be cancelled.
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close when all is written."""
        self._transport.close()

    def reset(self) -> None:
        """Close so that the client gets a reset."""
        linger = struct.pack("ii", 1, 0)
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


async def _play(fault: Fault, delay: float, turn: Turn) -> None:
    if delay:
        await asyncio.sleep(delay)
    await fault.play(turn)


class Turn:
    """What a fault has in its hands: a request, its honest answer, and the connection.

    Set ``answered`` where the whole honest answer went out in another form.
    """

    __slots__ = ("_connection", "_dialect", "answer", "answered", "seen")

    def __init__(
        self, connection: Connection, dialect: Dialect, seen: RequestSeen, answer: Answer
    ) -> None:
        """Made by the server for each request that meets a fault."""
        self._connection = connection
        self._dialect = dialect
        self.seen = seen
        self.answer = answer
        self.answered = False

    def error(self, status: int, message: str | None = None) -> Answer:
        """The error reply that this request's API would give."""
        return self._dialect.refusal(status, message)

    def respond(self, answer: Answer) -> None:
        """Write a whole reply with its length."""
        self.answered = answer is self.answer
        self._connection.write_soon(self._connection.compose(answer))

    def begin(self, answer: Answer, framing: Headers) -> bytes:
        """The head of a reply with these headers about its body; you write it yourself, at once."""
        return self._connection.compose_head(answer, framing)

    def start(self, answer: Answer, framing: Headers) -> None:
        """Write the head of a reply with these headers about its body; you write the body."""
        self._connection.write_soon(self.begin(answer, framing))

    async def write(self, data: bytes) -> None:
        """Write bytes as they are, as fast as the client reads them."""
        await self._connection.write(data)

    def close(self) -> None:
        """Close when all is written."""
        self._connection.close()

    def reset(self) -> None:
        """Close so that the client gets a reset (TCP RST)."""
        self._connection.reset()


@lru_cache(maxsize=1024)
def read_head(data: bytes) -> Head:
    """Read the head of a request; raises ``ValueError`` with what is wrong.

    Cached, since the heads of one client are all alike.
    """
    first, *lines = data.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:  # noqa: PLR2004 - method, target, version
        msg = "the first line of the request cannot be read"
        raise ValueError(msg)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers:
        msg = "send a content-length; this server reads no chunked requests"
        raise ValueError(msg)
    length = int(headers.get("content-length", "0"))
    is_last = headers.get("connection", "").lower() == "close" or words[2] == "HTTP/1.0"
    path, _, query = words[1].partition("?")
    return Head(words[0], path, headers, length, is_last, query)
