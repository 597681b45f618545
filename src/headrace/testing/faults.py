"""What can go wrong between a request and its answer: one frozen value for each misbehaviour.

A fault of your own is a subclass of ``Fault`` with a ``play`` that writes what it likes.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from headrace.testing.seen import Answer, Headers

if TYPE_CHECKING:
    from headrace.testing.server.connection import Turn

SomeHeaders: TypeAlias = Mapping[str, str] | Headers

_OPENING: Final = b'{"id":"endless","choices":[{"index":0,"message":{"content":"'
_FILLING: Final = b"a" * 65_536
CHUNKED: Final = (("transfer-encoding", "chunked"),)
_CLOSE: Final = (("connection", "close"),)


class Fault(ABC):
    """One way to misbehave."""

    __slots__ = ()

    @abstractmethod
    async def play(self, turn: Turn) -> None:
        """Do to ``turn.answer`` what this fault does; cancelled when the client goes away."""


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """Another status with the dialect's error body, or with ``body`` (JSON unless HTML)."""

    code: int
    body: bytes | str | None = None
    headers: SomeHeaders = ()

    def __post_init__(self) -> None:
        """Keep headers as pairs, so that faults can be keys; pairs may repeat a name."""
        object.__setattr__(self, "headers", _pairs(self.headers))

    async def play(self, turn: Turn) -> None:
        """Send the whole reply."""
        turn.respond(self.reply(turn.error(self.code)))

    def reply(self, plain: Answer) -> Answer:
        """The whole reply; ``plain`` is the dialect's."""
        headers = (*plain.headers, *_pairs(self.headers))
        if self.body is None:
            return replace(plain, headers=headers)
        data = self.body.encode() if isinstance(self.body, str) else self.body
        kind = "text/html" if data.lstrip().startswith(b"<") else "application/json"
        return Answer(self.code, data, headers, kind)


def limited(seconds: float | None = None, code: int = 429) -> Status:
    """A rate-limit reply that asks to wait, or that does not say how long.

    Whole seconds come as ``retry-after``; others as ``retry-after-ms`` too, as OpenAI sends them.
    """
    if seconds is None:
        return Status(code)
    headers = {"retry-after": str(math.ceil(seconds))}
    if seconds != math.ceil(seconds):
        headers["retry-after-ms"] = str(round(seconds * 1000))
    return Status(code, headers=headers)


@dataclass(frozen=True, slots=True)
class Latency(Fault):
    """Wait so many seconds more, and then answer well or meet the next fault."""

    seconds: float
    then: Fault | None = None

    async def play(self, turn: Turn) -> None:
        """Wait and go on."""
        await asyncio.sleep(self.seconds)
        if self.then is None:
            turn.respond(turn.answer)
        else:
            await self.then.play(turn)


@dataclass(frozen=True, slots=True)
class DropBefore(Fault):
    """Close before any byte of the reply."""

    async def play(self, turn: Turn) -> None:
        """Close at once."""
        turn.close()


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """Reset the connection (TCP RST), before the reply or in the middle of its body."""

    within: bool = False

    async def play(self, turn: Turn) -> None:
        """Reset, after half of the body if it shall be within."""
        if self.within:
            await _send_half(turn)
        turn.reset()


@dataclass(frozen=True, slots=True)
class DropWithin(Fault):
    """Close after so many bytes of a body that was announced whole; None: after half of it."""

    sent: int | None = None

    async def play(self, turn: Turn) -> None:
        """Announce all, send a part, close."""
        await _send_half(turn, self.sent)
        turn.close()


@dataclass(frozen=True, slots=True)
class CloseAfter(Fault):
    """Answer well and close without having said so, as servers do with idle connections."""

    async def play(self, turn: Turn) -> None:
        """Answer, close."""
        turn.respond(turn.answer)
        turn.close()


@dataclass(frozen=True, slots=True)
class TooLongBody(Fault):
    """More bytes than ``content-length`` says; the connection stays open.

    It says the length of the honest body less ``cut``; ``extra`` follows the honest body.
    """

    extra: bytes = b'{"surplus": true}'
    cut: int = 0

    async def play(self, turn: Turn) -> None:
        """Announce too little."""
        body = turn.answer.body
        turn.start(turn.answer, (("content-length", str(len(body) - self.cut)),))
        await turn.write(body + self.extra)
        turn.answered = not self.cut


@dataclass(frozen=True, slots=True)
class BadChunk(Fault):
    """A chunked body whose second chunk has no readable size."""

    async def play(self, turn: Turn) -> None:
        """Send one good chunk and a bad one."""
        body = turn.answer.body
        turn.start(turn.answer, CHUNKED)
        await turn.write(chunk(body[: len(body) // 2]) + b"zz\r\n" + body[len(body) // 2 :])
        turn.close()


@dataclass(frozen=True, slots=True)
class Chunked(Fault):
    """An honest answer, in chunks of so many bytes."""

    size: int = 16

    async def play(self, turn: Turn) -> None:
        """Send all chunks and the end."""
        body = turn.answer.body
        turn.start(turn.answer, CHUNKED)
        pieces = (body[at : at + self.size] for at in range(0, len(body), self.size))
        await turn.write(b"".join(map(chunk, pieces)) + chunk(b""))
        turn.answered = True


@dataclass(frozen=True, slots=True)
class Raw(Fault):
    """These bytes in place of a reply, then the honest answer if asked for, then maybe the end."""

    data: bytes
    then_answer: bool = False
    close: bool = True

    async def play(self, turn: Turn) -> None:
        """Write them as they are."""
        await turn.write(self.data)
        if self.then_answer:
            turn.respond(turn.answer)
        elif self.close:
            turn.close()


@dataclass(frozen=True, slots=True)
class Body(Fault):
    """A well-formed HTTP reply with any body: malformed JSON, HTML with 200, nothing at all."""

    body: bytes
    content_type: str = "application/json"
    headers: SomeHeaders = ()
    status: int = 200

    def __post_init__(self) -> None:
        """Keep headers as pairs, so that faults can be keys."""
        object.__setattr__(self, "headers", _pairs(self.headers))

    async def play(self, turn: Turn) -> None:
        """Send the whole reply."""
        headers = _pairs(self.headers)
        turn.respond(Answer(self.status, self.body, headers, self.content_type))


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """An honest answer whose header or body comes byte by byte."""

    seconds_per_byte: float
    part: Literal["header", "body"] = "body"

    async def play(self, turn: Turn) -> None:
        """Write one part at once and the other slowly."""
        head = turn.begin(turn.answer, (("content-length", str(len(turn.answer.body))),))
        if self.part == "body":
            await turn.write(head)
            await self._drip(turn, turn.answer.body)
        else:
            await self._drip(turn, head)
            await turn.write(turn.answer.body)
        turn.answered = True

    async def _drip(self, turn: Turn, data: bytes) -> None:
        for byte in data:
            await asyncio.sleep(self.seconds_per_byte)
            await turn.write(bytes((byte,)))


@dataclass(frozen=True, slots=True)
class Oversized(Fault):
    """A body of so many bytes with no length announced, chunked or up to the end."""

    total_bytes: int
    chunked: bool = False

    async def play(self, turn: Turn) -> None:
        """Stream as fast as the client reads."""
        await _stream(turn, _filled(self.total_bytes), chunked=self.chunked)


@dataclass(frozen=True, slots=True)
class Bomb(Fault):
    """A gzip body that is about a thousand times larger when decoded: so many bytes."""

    decoded_bytes: int
    chunked: bool = False

    async def play(self, turn: Turn) -> None:
        """Stream as fast as the client reads."""
        packed = _bomb(self.decoded_bytes)
        gzipped = (("content-encoding", "gzip"),)
        await _stream(turn, packed, headers=gzipped, chunked=self.chunked)


@dataclass(frozen=True, slots=True)
class Gzip(Fault):
    """An honest answer, compressed."""

    async def play(self, turn: Turn) -> None:
        """Send the whole reply."""
        answer = turn.answer
        headers = (*answer.headers, ("content-encoding", "gzip"))
        turn.respond(replace(answer, body=gzip.compress(answer.body, mtime=0), headers=headers))
        turn.answered = True


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """Never answer, or never send the second half of the body; the connection stays open."""

    within: bool = False

    async def play(self, turn: Turn) -> None:
        """Wait until the client goes away."""
        if self.within:
            await _send_half(turn)
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class Redirect(Fault):
    """Send the client elsewhere."""

    location: str
    code: int = 302

    async def play(self, turn: Turn) -> None:
        """Send the whole reply."""
        turn.respond(Answer(self.code, b"", (("location", self.location),)))


def _pairs(headers: SomeHeaders) -> Headers:
    return tuple(headers.items()) if isinstance(headers, Mapping) else tuple(headers)


def chunk(data: bytes) -> bytes:
    """A chunk of a body in ``CHUNKED``; the empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _send_half(turn: Turn, sent: int | None = None) -> None:
    body = turn.answer.body
    turn.start(turn.answer, (("content-length", str(len(body))),))
    await turn.write(body[: len(body) // 2 if sent is None else sent])


async def _stream(
    turn: Turn, pieces: Iterator[bytes], *, headers: Headers = (), chunked: bool
) -> None:
    turn.start(turn.answer, (*headers, *(CHUNKED if chunked else _CLOSE)))
    for piece in pieces:
        await turn.write(chunk(piece) if chunked else piece)
    if chunked:
        await turn.write(chunk(b""))
    else:
        turn.close()


def _filled(total: int) -> Iterator[bytes]:
    """JSON that opens a string and never closes it."""
    yield _OPENING[:total]
    for left in range(total - len(_OPENING), 0, -len(_FILLING)):
        yield _FILLING[:left]


def _bomb(total: int) -> Iterator[bytes]:
    """``_filled`` as one gzip stream.

    A deflate block that ends in a full flush depends on nothing before it, so the packed form of
    the filling is made once and repeated, and a bomb of gigabytes costs its checksum only.
    """
    check, packed = 0, {_FILLING: _flushed(_FILLING)}
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    for piece in _filled(total):
        check = zlib.crc32(piece, check)
        yield packed.get(piece) or _flushed(piece)
    yield b"\x03\x00" + check.to_bytes(4, "little") + (total % 2**32).to_bytes(4, "little")


def _flushed(piece: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
