"""What can go wrong with a stream, in the style of ``headrace.testing.faults``.

They are for requests that ask for a stream; met by another, they end the test with a
``ValueError``. ``after`` counts whole frames.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from headrace.testing.faults import CHUNKED, Fault, chunk
from headrace.testing.stream_forms import FORMS

if TYPE_CHECKING:
    from headrace.testing.server.connection import Turn

_END: Final = chunk(b"")
_BLOCK: Final = 16_384


@dataclass(frozen=True, slots=True)
class Whole(Fault):
    """No fault: the honest stream, frame by frame; for ``Latency``, and what the server plays."""

    async def play(self, turn: Turn) -> None:
        """Send all frames and the end."""
        await _begin(turn)
        await turn.write(_END)
        turn.answered = True


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """The body ends well after so many frames, without the stream's finish."""

    after: int

    async def play(self, turn: Turn) -> None:
        """Send some frames and the end."""
        await _begin(turn, self.after)
        await turn.write(_END)


@dataclass(frozen=True, slots=True)
class Drop(Fault):
    """The connection is closed, or reset (TCP RST), after so many frames."""

    after: int
    reset: bool = False

    async def play(self, turn: Turn) -> None:
        """Send some frames and close."""
        await _begin(turn, self.after)
        if self.reset:
            turn.reset()
        else:
            turn.close()


@dataclass(frozen=True, slots=True)
class Silence(Fault):
    """Nothing comes after so many frames; the connection stays open."""

    after: int

    async def play(self, turn: Turn) -> None:
        """Send some frames and wait until the client goes away."""
        await _begin(turn, self.after)
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class ErrorFrame(Fault):
    """The API's error of that status as a frame, after so many others, and then the end."""

    after: int
    code: int = 529

    async def play(self, turn: Turn) -> None:
        """Send some frames, the error and the end."""
        error = orjson.loads(turn.error(self.code).body)
        await _begin(turn, self.after)
        await turn.write(chunk(FORMS[turn.seen.dialect].error(error)) + _END)


@dataclass(frozen=True, slots=True)
class Shredded(Fault):
    """The honest stream in blocks of so many bytes, each written by itself."""

    size: int = 1

    async def play(self, turn: Turn) -> None:
        """Send all blocks and the end."""
        body = b"".join(_frames(turn))
        turn.start(turn.answer, CHUNKED)
        for at in range(0, len(body), self.size):
            await _write(turn, body[at : at + self.size])
        await turn.write(_END)
        turn.answered = True


@dataclass(frozen=True, slots=True)
class Chatty(Fault):
    """The honest stream with a comment and the API's own keep-alive before each frame."""

    async def play(self, turn: Turn) -> None:
        """Send all frames, what is between them, and the end."""
        form = FORMS[turn.seen.dialect]
        between = form.comment + form.alive
        frames = _frames(turn)
        turn.start(turn.answer, CHUNKED)
        for frame in frames:
            await _write(turn, between)
            await _write(turn, frame)
        await turn.write(_END)
        turn.answered = True


@dataclass(frozen=True, slots=True)
class Flood(Fault):
    """Frames with text without end, as fast as the client reads."""

    async def play(self, turn: Turn) -> None:
        """Send until the client goes away."""
        frames = _frames(turn)
        middle = (len(frames) - 1) // 2
        await _begin(turn, middle)
        many = frames[middle] * (1 + _BLOCK // len(frames[middle]))
        while True:
            await turn.write(chunk(many))


async def _begin(turn: Turn, count: int | None = None) -> None:
    """Send the head and so many frames, or all."""
    frames = _frames(turn)[:count]
    turn.start(turn.answer, CHUNKED)
    for frame in frames:
        await _write(turn, frame)


async def _write(turn: Turn, block: bytes) -> None:
    """Write a block so that it leaves by itself: what is written in one turn may leave together."""
    await turn.write(chunk(block))
    await asyncio.sleep(0)


def _frames(turn: Turn) -> tuple[bytes, ...]:
    if not turn.answer.frames:
        msg = f"a fault for streams met request {turn.seen.n}, which asked for none"
        raise ValueError(msg)
    return turn.answer.frames
