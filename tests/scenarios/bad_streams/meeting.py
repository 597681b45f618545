"""One streamed answer that meets a fault, and all that has to be true after it.

A cut never passes as an answer; what fails before the first chunk is sent again, what fails after
it is raised with what has arrived, or begun again where that is wanted; nothing is held when it is
over; no key is shown.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
import pytest

from headrace import APIResponse, LLMClient
from headrace.core.chunks import Chunk, EndChunk, RestartChunk, TextChunk
from headrace.core.errors import HeadraceError
from headrace.testing import FakeServer, HurriedClock, run_hurried
from headrace.testing.faults import CHUNKED, Fault, chunk
from tests.clients import check_nothing_is_held
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.testing import RequestSeen
    from headrace.testing.server.connection import Turn

KEY: Final = "sk-never-to-be-shown-0123456789"
PROMPT: Final = "one two"
SAID: Final = "echo: one two"
ATTEMPTS: Final = 2
# How many frames come before the first one with text in it.
BEFORE: Final = {
    "openai": 1,
    "openai-responses": 4,
    "anthropic": 3,
    "google": 0,
    "bedrock": 1,
    "bedrock-anthropic": 3,
    "cohere": 2,
    "ollama-native": 0,
}
ALL: Final = tuple(BEFORE)
_WITH_V1: Final = ("openai", "openai-responses")


def of_each(dialects: Sequence[str]) -> pytest.MarkDecorator:
    """Three dialects always, the others where there is time for all."""
    return pytest.mark.parametrize("dialect", first_of(*dialects, shown=3))


each_dialect = of_each(ALL)


@dataclass(frozen=True, slots=True)
class Then(Fault):
    """Some frames of the honest stream, then these bytes, then the end."""

    after: int
    more: bytes

    async def play(self, turn: Turn) -> None:
        """Send all of it in one piece."""
        body = b"".join(turn.answer.frames[: self.after]) + self.more
        turn.start(turn.answer, CHUNKED)
        await turn.write(chunk(body) + chunk(b""))


@dataclass(frozen=True, slots=True)
class Rewritten(Fault):
    """The honest stream after ``change``, in blocks of so many bytes."""

    change: Callable[[bytes], bytes]
    size: int = 1 << 20
    headers: tuple[tuple[str, str], ...] = ()

    async def play(self, turn: Turn) -> None:
        """Send each block by itself."""
        body = self.change(turn.answer.body)
        turn.start(turn.answer, (*self.headers, *CHUNKED))
        for at in range(0, len(body), self.size):
            await turn.write(chunk(body[at : at + self.size]))
            await asyncio.sleep(0)
        await turn.write(chunk(b""))


@dataclass(slots=True)
class Outcome:
    """What a user saw, and what the server did."""

    chunks: list[Chunk] = field(default_factory=list)
    error: HeadraceError | None = None
    sent_at: list[float] = field(default_factory=list)

    @property
    def response(self) -> APIResponse[Any] | None:
        """The answer, where there is one."""
        last = self.chunks[-1] if self.chunks else None
        return last.response if isinstance(last, EndChunk) else None

    @property
    def text(self) -> str:
        """What was said since the last restart."""
        starts = [n for n, found in enumerate(self.chunks) if isinstance(found, RestartChunk)]
        since = self.chunks[starts[-1] :] if starts else self.chunks
        return "".join(found.text for found in since if isinstance(found, TextChunk))


def client_of(dialect: str, server: FakeServer, **options: Any) -> LLMClient:
    """A client of this dialect's endpoint with the key that nobody may see."""
    url = server.base_url if dialect in _WITH_V1 else server.anthropic_url
    options = {"max_attempts": ATTEMPTS, "request_timeout": 40.0, **options}
    models = options.pop("models", f"{dialect}/m")
    return LLMClient(models, base_url=url, api_key=KEY, **options)


def meet(dialect: str, faults: Sequence[Fault | None], **options: Any) -> Outcome:
    """Read one stream; the n-th request meets the n-th fault, all after the last one the last."""
    met, clock = Outcome(), HurriedClock(100)
    asked = {name: options.pop(name) for name in ("on_break", "deadline") if name in options}

    def plan(seen: RequestSeen) -> Fault | None:
        met.sent_at.append(clock.now() / 1e9)
        return faults[min(seen.n, len(faults) - 1)]

    async def main() -> None:
        async with (
            FakeServer(faults=plan, keep=100) as server,
            client_of(dialect, server, clock=clock, **options) as client,
        ):
            await _read(client, met, **asked)
            await quiet(server)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, "the client left something running"

    run_hurried(main(), clock)
    return met


async def _read(client: LLMClient, met: Outcome, **asked: Any) -> None:
    try:
        async for found in client.stream_tokens(PROMPT, **asked):
            met.chunks.append(found)
    except HeadraceError as error:
        met.error = error
    check_nothing_is_held(client)
    _check_shown(met)


async def quiet(server: FakeServer) -> None:
    """Wait until the server sees that nothing is asked of it any more."""
    async with asyncio.timeout(100):
        while server.ledger.in_flight:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0.1)


def _check_shown(met: Outcome) -> None:
    """Whatever happened: one end, no key, and a sentence that fits a terminal."""
    assert (met.error is None) == (met.response is not None)
    if met.error is not None:
        told = f"{met.error!r} {met.error} {orjson.dumps(met.error.to_dict()).decode()}"
        assert KEY not in told
        assert base64.b64encode(KEY.encode()).decode() not in told
        assert str(met.error).isprintable()
        assert len(str(met.error)) < 1000


def check_answer(met: Outcome, *, sends: int = 1) -> None:
    """The whole answer came, after so many sends."""
    assert met.error is None
    assert met.response is not None
    assert met.text == met.response.completion == SAID
    assert met.response.finish_reason == "stop"
    assert met.response.usage is not None
    assert met.response.attempts == len(met.sent_at) == sends


def check_raised(met: Outcome, code: str, *, sends: int, arrived: str | None) -> None:
    """An error came after so many sends, with what had arrived."""
    assert met.error is not None
    assert met.error.code == code
    assert len(met.sent_at) == sends
    assert getattr(met.error, "arrived", None) == arrived
    assert met.text == (arrived or "")


Place = Literal["before", "within"]


def frames_until(dialect: str, place: Place) -> int:
    """How many whole frames come: all before the first word, or that and one more word."""
    return BEFORE[dialect] + (0 if place == "before" else 2)
