"""The fake server itself: decides what each request gets, and can be asked what it saw."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self, TypedDict, Unpack

import orjson

from headrace.testing import numbers
from headrace.testing.faults import Status
from headrace.testing.seen import Answer, Headers, RequestSeen, Throttled
from headrace.testing.server import dialects
from headrace.testing.server.connection import Connection, Head, Turn
from headrace.testing.server.ledger import Ledger, within_hints
from headrace.testing.server.limits import Limits
from headrace.testing.server.shelf import Shelf
from headrace.testing.stream_faults import Whole
from headrace.testing.stream_forms import FORMS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from headrace.testing.plans import Plan
    from headrace.testing.server.dialects import Asked, Dialect, Said

BACKLOG: Final = 4096
TOO_MANY: Final = Status(429)


class Options(TypedDict, total=False):
    """The keywords of ``FakeServer``."""

    answer: Callable[[str], str]
    faults: Plan | None
    latency: float | Callable[[RequestSeen], float]
    requests_per_minute: float | None
    tokens_per_minute: float | None
    burst_seconds: float
    max_concurrent: int | None
    when_busy: Status
    api_key: str | None
    accounts: Mapping[str, str] | None
    models: Sequence[str]
    keep: int | None
    host: str
    port: int


def echo(text: str) -> str:
    """The default answer."""
    return f"echo: {text}"


class FakeServer:
    """A real HTTP server on loopback that speaks many APIs, whole and streamed, and can misbehave.

    ``async with FakeServer() as server`` runs it in this event loop, ``with
    FakeServer.in_thread() as server`` in a thread. ``answer``, ``faults``, ``latency``,
    ``max_concurrent``, ``when_busy`` and ``api_key`` may be set anew while it runs. An exception in
    a function that you gave closes the connection, and is raised when the server is left.
    """

    def __init__(
        self,
        *,
        answer: Callable[[str], str] = echo,
        faults: Plan | None = None,
        latency: float | Callable[[RequestSeen], float] = 0.0,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        burst_seconds: float = 60.0,
        max_concurrent: int | None = None,
        when_busy: Status = TOO_MANY,
        api_key: str | None = None,
        accounts: Mapping[str, str] | None = None,
        models: Sequence[str] = ("fake",),
        keep: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Take the settings; nothing listens yet.

        ``answer`` makes an answer of the last user text. ``faults`` is a plan. ``latency`` is
        seconds before each answer and fault. Limits hold for each API key and model by itself, in
        tokens that are words; a bucket holds what ``burst_seconds`` give, and a 429 of a limit
        comes at once. ``accounts`` names that of a key: keys of one share their limits, and replies
        name it as the vendor does. ``when_busy`` meets requests above ``max_concurrent``. ``keep``
        bounds the log; with 0 prompts are not counted, and ``RequestSeen.nth`` is its ``n``. Raises
        ``ConfigError`` for what is no such number.
        """
        numbers.check(
            "FakeServer",
            latency=0.0 if callable(latency) else latency,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            burst_seconds=burst_seconds,
            max_concurrent=max_concurrent,
            keep=keep,
            port=port,
        )
        self.answer = answer
        self.faults = faults
        self.latency = latency
        self.max_concurrent = max_concurrent
        self.when_busy = when_busy
        self.api_key = api_key
        self._accounts = accounts or {}
        self.models = models
        self.host = host
        self.port = port
        self.ledger = Ledger(keep)
        self._shelf = Shelf()
        limited = requests_per_minute is not None or tokens_per_minute is not None
        limits = Limits(requests_per_minute, tokens_per_minute, burst_seconds)
        self._limits = limits if limited else None
        self._connections: set[Connection] = set()
        self._failures: list[Exception] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def base_url(self) -> str:
        """The base URL for OpenAI clients, ending in ``/v1``."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        """The base URL for Anthropic clients."""
        return f"http://{self.host}:{self.port}"

    @property
    def received(self) -> list[RequestSeen]:
        """The requests for answers so far, in order of arrival (the last ``keep`` of them)."""
        return list(self.ledger.requests)

    @property
    def throttled(self) -> list[Throttled]:
        """The 429s sent so far (the last ``keep`` of them)."""
        return list(self.ledger.throttled)

    @property
    def counts(self) -> Counter[str]:
        """How often each prompt arrived."""
        return self.ledger.counts

    @property
    def answered(self) -> Counter[str]:
        """How often each prompt got its whole honest answer: what would have been paid for."""
        return self.ledger.answered

    def violations(self, grace: float = 0.05) -> list[RequestSeen]:
        """Requests that arrived in a time for which a 429 of their scope had asked for quiet.

        Not those within ``grace`` seconds after its headers were written: they may have been on
        their way while the 429 travelled the other way and was read.
        """
        return within_hints(self.received, self.throttled, grace)

    async def until(self, total: int) -> None:
        """Wait until so many requests have arrived altogether; on the server's loop only."""
        if self.ledger.total < total:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((total, future))
            await future

    async def start(self) -> None:
        """Listen; ``port`` is the real one afterwards. Raises ``OSError`` where it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), self.host, self.port, backlog=BACKLOG
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut what is open; raises what a given function had raised."""
        self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        await self._server.wait_closed()
        while self._connections or self.ledger.in_flight:  # noqa: ASYNC110 - a few turns, once
            await asyncio.sleep(0)
        if self._failures:
            raise self._failures[0]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @classmethod
    @contextmanager
    def in_thread(cls, **options: Unpack[Options]) -> Iterator[Self]:
        """Run a server in a thread of its own; for tests that have no event loop."""
        server, loop = cls(**options), asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="fake-server", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(server.start(), loop).result()
            try:
                yield server
            finally:
                if not sys.is_finalizing():
                    asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        finally:
            # Left open until the interpreter ends, it ends with it: its thread runs no more.
            if not sys.is_finalizing():
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()

    def opened(self, connection: Connection) -> None:
        """Called by connections."""
        self._connections.add(connection)

    def lost(self, connection: Connection) -> None:
        """Called by connections."""
        self._connections.discard(connection)

    def failed(self, error: Exception) -> None:
        """Called by connections."""
        self._failures.append(error)

    def serve(self, connection: Connection, head: Head, body: bytes, at: float) -> None:
        """Called by connections with each request."""
        dialect = dialects.of_path(head.path)
        if dialect is None or head.method != "POST":
            connection.respond(self._elsewhere(head, body))
            return
        try:
            asked = dialect.read(body, f"{head.path}?{head.query}" if head.query else head.path)
        except ValueError as error:
            connection.respond(dialect.refusal(400, str(error)))
            return
        seen = self._see(connection, dialect, asked, (head, body, at))
        self._decide(connection, dialect, seen, asked)

    def _see(
        self,
        connection: Connection,
        dialect: Dialect,
        asked: Asked,
        request: tuple[Head, bytes, float],
    ) -> RequestSeen:
        (head, body, at), ledger = request, self.ledger
        n, nth = ledger.begin(asked.prompt)
        key = dialect.key(head.headers)
        seen = RequestSeen(
            n=n,
            nth=nth,
            at=at,
            prompt=asked.prompt,
            model=asked.model,
            dialect=dialect.name,
            path=head.path,
            in_flight=ledger.in_flight,
            connection=connection.number,
            key=key,
            headers=head.headers,
            body=body,
            stream=asked.stream,
            account=None if key is None else self._accounts.get(key),
        )
        connection.expect(seen)
        ledger.requests.append(seen)
        if self._waiting:
            self._wake()
        return seen

    def _elsewhere(self, head: Head, body: bytes) -> Answer:
        if head.method == "GET" and head.path.endswith("/models"):
            rows = [
                {"id": name, "object": "model", "created": 0, "owned_by": "headrace"}
                for name in self.models
            ]
            return Answer(200, orjson.dumps({"object": "list", "data": rows}))
        return self._shelf.answer(head, body) or dialects.nobody().refusal(404)

    def _wake(self) -> None:
        due = [future for total, future in self._waiting if total <= self.ledger.total]
        self._waiting = [row for row in self._waiting if row[0] > self.ledger.total]
        for future in due:
            if not future.done():
                future.set_result(None)

    def _decide(
        self, connection: Connection, dialect: Dialect, seen: RequestSeen, asked: Asked
    ) -> None:
        if (refusal := self._refuse(dialect, seen)) is not None:
            connection.respond(refusal)
            return
        said = dialects.say(self.answer(seen.prompt), asked.max_tokens)
        fault = None if self.faults is None else self.faults(seen)
        headers: Headers = ()
        if fault is None and self._limits is not None:
            now = time.monotonic()
            wait = self._limits.admit(seen.scope, dialect.charge(asked, said), now)
            headers = dialect.limit_headers(self._limits.levels(seen.scope, now))
            if seen.account is not None:
                headers = (*headers, *dialect.account_headers(seen.account))
            if wait:
                headers = (*headers, *dialect.hint_headers(wait))
                connection.respond(dialect.refusal(429, headers=headers))
                return
        answer = _answer(dialect, asked, said, seen.n, headers)
        if asked.stream and fault is None:
            fault = Whole()
        delay = self.latency(seen) if callable(self.latency) else self.latency
        if fault is not None:
            connection.play(fault, delay, Turn(connection, dialect, seen, answer))
        elif delay:
            connection.respond_later(delay, answer)
        else:
            connection.respond_honestly(answer)

    def _refuse(self, dialect: Dialect, seen: RequestSeen) -> Answer | None:
        if self.api_key is not None and seen.key != self.api_key:
            return dialect.refusal(401)
        if self.max_concurrent is not None and seen.in_flight > self.max_concurrent:
            return self.when_busy.reply(dialect.refusal(self.when_busy.code))
        return None


def _answer(dialect: Dialect, asked: Asked, said: Said, n: int, headers: Headers) -> Answer:
    sound = dialect.sound(asked)
    if sound is not None:
        return Answer(200, sound, headers, "audio/mpeg")
    body = dialect.answer(asked, said, n)
    if not asked.stream:
        return Answer(200, orjson.dumps(body), (*headers, *dialect.bill_headers(asked)))
    form = FORMS[dialect.name]
    frames = tuple(form.frames(body, asked, said))
    return Answer(200, b"".join(frames), headers, form.content_type, frames)
