"""The conformance suite: what a provider class must do, tried against a real server on loopback.

headrace's own classes pass it; run it on yours. Each check makes exchanges that go well or badly,
and looks at what comes out, at what the server saw, and at what is left behind.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from headrace.adapters.http import MAX_BODY, HttpExchange, Transport
from headrace.core.context import RequestContext
from headrace.core.errors import (
    GoneError,
    NotSentError,
    OutcomeUnknownError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    RejectedError,
    ReplyError,
)
from headrace.core.model import KeySource, Route
from headrace.core.params import SamplingParams
from headrace.core.secret import Secret
from headrace.providers.base import ProviderRequest
from headrace.registry import resolve
from headrace.testing import faults, odd_replies, plans
from headrace.testing.faults import Fault
from headrace.testing.seen import DialectName
from headrace.testing.server import FakeServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
    from typing import TypeAlias

    from headrace.core.response import APIResponse

    Check: TypeAlias = Callable[["Subject"], Coroutine[object, object, None]]
    Outcome: TypeAlias = APIResponse[object] | BaseException

KEY: Final = "sk-conformance-0123456789"
PROMPT: Final = "one two three"
ANSWER: Final = f"echo: {PROMPT}"
# Seconds: a time-out that is to pass, and one that is not.
_SHORT, _LONG = 0.25, 30.0
DIALECTS: Final[Mapping[str, DialectName]] = {
    "openai_chat": "openai",
    "openai_responses": "openai_responses",
    "anthropic": "anthropic",
    "vertex_anthropic": "anthropic",
    "gemini": "gemini",
    "bedrock_converse": "bedrock",
    "bedrock_anthropic": "bedrock_anthropic",
    "cohere": "cohere",
    "ollama": "ollama",
}
_TURNS: Final = 500


class ConformanceError(AssertionError):
    """A provider class does not keep the rules; each line of the message is one failed check."""


def check_provider(
    provider: type[ProviderRequest],
    route: Route | str,
    *,
    dialect: DialectName | None = None,
    params: SamplingParams | None = None,
    checks: Iterable[str] | None = None,
    grace: float = 2.0,
) -> None:
    """Take ``execute_once`` of ``provider`` through everything that may happen to an exchange.

    ``route`` is a model id such as ``"openai/any"``, or a ``Route`` with an endpoint of your own;
    its base URL and key are replaced by those of a ``FakeServer`` that speaks ``dialect``, by
    default that of the endpoint's wire format. ``params`` go out with each request. ``checks`` are
    some of the names in ``CHECKS``; all of them take a few seconds. An exchange may take ``grace``
    seconds beyond its time-out, and so long to close what it opened; slow machines may need more.
    Not inside an event loop.

    Raises ``ConformanceError`` with one line for each check that failed.
    """
    row = route if isinstance(route, Route) else _named(route)
    subject, failed = (
        Subject(provider, row, dialect or DIALECTS[row.endpoint.wire], params, grace),
        [],
    )
    for name in CHECKS if checks is None else checks:
        try:
            asyncio.run(CHECKS[name](subject))
        except ConformanceError as error:
            failed.append(f"\n  {name}: {error}")
    if failed:
        sentence = f"{provider.__name__} does not keep the rules of a provider:{''.join(failed)}"
        raise ConformanceError(sentence)


def _named(model: str) -> Route:
    return resolve.route(resolve.model_row(model), resolve.Place())


def _require(holds: bool, sentence: str) -> None:  # noqa: FBT001 - read as "require that"
    if not holds:
        raise ConformanceError(sentence)


class _OpenGate:
    """Nothing is parked; implements ``adapters.http.Gate``."""

    def is_shut(self) -> bool:
        return False

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        del status, headers


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked: a class, the route it is made for, and the dialect of the server."""

    provider: type[ProviderRequest]
    route: Route
    dialect: DialectName
    params: SamplingParams | None
    grace: float

    def request(self, base_url: str, transport: Transport, timeout: float) -> ProviderRequest:
        """One request object for one exchange."""
        key = KeySource(secret=Secret(KEY))
        route = replace(self.route, base_url=base_url, key=key)
        context = RequestContext(prompt=PROMPT, params=self.params)
        return self.provider(
            context, route, HttpExchange(lambda: transport, route, timeout, _OpenGate())
        )

    def url(self, server: FakeServer) -> str:
        """Where the server speaks this dialect."""
        return server.anthropic_url if self.dialect == "anthropic" else server.base_url


@asynccontextmanager
async def _meeting(fault: Fault | None) -> AsyncIterator[tuple[FakeServer, Transport]]:
    """A server whose first request meets ``fault``, and a way to it."""
    async with FakeServer(faults=plans.Sequence([fault])) as server:
        transport = Transport()
        try:
            yield server, transport
        finally:
            await transport.aclose()


async def _outcome(
    subject: Subject,
    request: ProviderRequest,
    timeout: float = _LONG,  # noqa: ASYNC109 - the exchange's own
) -> Outcome:
    """What one exchange comes to; it keeps ``timeout`` by itself."""
    running = asyncio.ensure_future(request.execute_once())
    done, _ = await asyncio.wait([running], timeout=timeout + subject.grace)
    if not done:
        running.cancel()
        await asyncio.wait([running])
        raise ConformanceError(f"execute_once was not done {subject.grace:g} s after its time-out")
    return await _ended(running)


async def _ended(running: asyncio.Future[APIResponse[object]]) -> Outcome:
    [outcome] = await asyncio.gather(running, return_exceptions=True)
    return outcome


async def _settle(subject: Subject, server: FakeServer) -> None:
    """Let everything come to rest; what does not was left behind."""
    loop = asyncio.get_running_loop()
    end = loop.time() + subject.grace
    while (left := len(asyncio.all_tasks()) - 1) or server.ledger.in_flight:
        if loop.time() > end:
            _require(not left, f"{left} coroutines were left behind")
            raise ConformanceError("the exchange is over, and its connection is not closed")
        await asyncio.sleep(0.001)


async def _exchange(
    subject: Subject,
    fault: Fault | None,
    timeout: float = _LONG,  # noqa: ASYNC109 - the exchange's own
) -> Outcome:
    """One exchange that meets ``fault``, after the checks that hold for every exchange."""
    async with _meeting(fault) as (server, transport):
        request = subject.request(subject.url(server), transport, timeout)
        outcome = await _outcome(subject, request, timeout)
        await _settle(subject, server)
        sent = server.ledger.total
        if not sent and timeout < _LONG:  # on a busy machine it may be over before it is sent
            return await _exchange(subject, fault, min(4 * timeout, _LONG))
        _require(sent == 1, f"one execute_once made {sent} requests for an answer, not 1")
        _require(
            server.received[0].key == KEY or subject.route.endpoint.auth == "none",
            "the API key of the route did not come with the request",
        )
    return outcome


def _answer(outcome: Outcome) -> APIResponse[object]:
    if isinstance(outcome, BaseException):
        raise ConformanceError(f"an answer came out as {outcome!r}") from outcome
    _require(outcome.completion == ANSWER, f"{ANSWER!r} came out as {outcome.completion!r}")
    _require(outcome.error is None, "an answer has an error; raise it instead")
    _require(
        outcome.reply is not None and outcome.reply.status == HTTPStatus.OK,
        "the response has no reply; set it, so that what was paid for can be recorded",
    )
    return outcome


def _failure(outcome: Outcome, kinds: tuple[type[ProviderError], ...]) -> ProviderError:
    expected = " or ".join(kind.__name__ for kind in kinds)
    if not isinstance(outcome, BaseException):
        raise ConformanceError(f"this counted as an answer; raise {expected}: {outcome!r}")
    if not isinstance(outcome, kinds):
        raise ConformanceError(f"raise {expected}, not {outcome!r}") from outcome
    return outcome


# What goes well.


async def _reads_an_answer(subject: Subject) -> None:
    for fault in (None, faults.Chunked(), faults.Gzip()):
        response = _answer(await _exchange(subject, fault))
        finish = response.finish_reason
        _require(finish == "stop", f"the finish reason of a whole answer is {finish!r}, not 'stop'")


async def _reads_usage(subject: Subject) -> None:
    usage = _answer(await _exchange(subject, None)).usage
    if usage is None:
        raise ConformanceError("the response has no usage, though the reply has")
    seen, said = usage.input_tokens, usage.output_tokens
    asked, written = len(PROMPT.split()), len(ANSWER.split())
    _require(seen >= asked, f"{asked} input tokens or more were read as {seen}")
    _require(said == written, f"{written} output tokens were read as {said}")


async def _decodes_again(subject: Subject) -> None:
    async with _meeting(None) as (server, transport):
        request = subject.request(subject.url(server), transport, _LONG)
        first = _answer(await _outcome(subject, request))
    if first.reply is not None:
        again = subject.provider.decode(request.context, request.route, first.reply)
        _require(
            again is None or again == first,
            f"decode() of the same reply gave {again!r}, not {first!r}",
        )


# What goes wrong.


@dataclass(frozen=True, slots=True)
class _Fails:
    """A check: an exchange that meets ``fault`` raises one of ``kinds``.

    With ``hint`` the error has to say so many seconds; with ``recorded`` it has to bring the reply,
    which may have been paid for.
    """

    fault: Fault
    kinds: tuple[type[ProviderError], ...]
    hint: float | None = None
    recorded: bool = False
    timeout: float = _LONG

    async def __call__(self, subject: Subject) -> None:
        error = _failure(await _exchange(subject, self.fault, self.timeout), self.kinds)
        if self.hint is not None:
            _require(
                error.hint == self.hint,
                f"the server asked for {self.hint} s of quiet, and error.hint is {error.hint}",
            )
        if self.recorded:
            _require(error.reply is not None, "put the reply into the error, so that it is kept")


async def _hides_the_key(subject: Subject) -> None:
    error = _failure(await _exchange(subject, odd_replies.EchoesKey(KEY)), (GoneError,))
    shown = f"{error} {error!r} {error.to_dict()} {error.__cause__!r} {error.__context__!r}"
    _require(KEY not in shown, "the error shows the API key; clean what you quote of a reply")


async def _knows_what_was_not_sent(subject: Subject) -> None:
    async with _meeting(None) as (server, transport):
        await server.stop()
        outcome = await _outcome(subject, subject.request(subject.url(server), transport, _LONG))
    _failure(outcome, (NotSentError,))


# Cancellation.


async def _cancels_anywhere(subject: Subject) -> None:
    async with _meeting(None) as (server, transport):
        for turns in range(_TURNS):
            request = subject.request(subject.url(server), transport, _LONG)
            if await _cancelled_after(turns, request):
                break
            await _settle(subject, server)
            open_ = server.ledger.connections
            _require(open_ <= 1, f"{open_} connections were open after one cancellation")
        sent = server.ledger.total
        _require(sent <= turns + 1, f"{turns + 1} cancelled exchanges made {sent} requests")
        _answer(await _outcome(subject, subject.request(subject.url(server), transport, _LONG)))


async def _cancelled_after(turns: int, request: ProviderRequest) -> bool:
    """Cancel after so many turns of the loop; True where the exchange was over by then."""
    running = asyncio.ensure_future(request.execute_once())
    for _ in range(turns):
        await asyncio.sleep(0)
    if running.done():
        _answer(await _ended(running))
        return True
    running.cancel()
    outcome = await _ended(running)
    if not isinstance(outcome, asyncio.CancelledError):
        sentence = f"a cancellation came out as {outcome!r}; let CancelledError pass"
        raise ConformanceError(sentence)
    return False


_PAGE: Final = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_QUIET: Final = (("retry-after", "7"),)
_LOST, _NO_ANSWER = (OutcomeUnknownError,), (ReplyError,)
CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "reads an answer": _reads_an_answer,
        "reads usage": _reads_usage,
        "decodes a recorded reply again": _decodes_again,
        "429 with a hint": _Fails(faults.Status(429, headers=_QUIET), (RateLimitError,), hint=7.0),
        "429 without a hint": _Fails(faults.Status(429), (RateLimitError,)),
        "400": _Fails(faults.Status(400), (RejectedError,)),
        "401": _Fails(faults.Status(401), (GoneError,)),
        "404": _Fails(faults.Status(404), (GoneError,)),
        "500": _Fails(faults.Status(500), (OverloadedError,)),
        "503 with a hint": _Fails(faults.Status(503, headers=_QUIET), (OverloadedError,), hint=7.0),
        "529": _Fails(faults.Status(529), (OverloadedError,)),
        "redirect": _Fails(odd_replies.Around(), (GoneError,)),
        "HTML error page": _Fails(faults.Status(502, _PAGE), (OverloadedError,)),
        "HTML with 200": _Fails(
            faults.Body(_PAGE.encode(), "text/html"), _NO_ANSWER, recorded=True
        ),
        "truncated JSON": _Fails(odd_replies.Cut(), _NO_ANSWER, recorded=True),
        "empty body": _Fails(faults.Body(b""), _NO_ANSWER, recorded=True),
        "error object in a 200": _Fails(odd_replies.ErrorWith200(), (OverloadedError, ReplyError)),
        "huge body": _Fails(faults.Oversized(MAX_BODY + 1), _NO_ANSWER),
        "compressed bomb": _Fails(faults.Bomb(MAX_BODY * 8), (ReplyError, OutcomeUnknownError)),
        "stall before the reply": _Fails(faults.Stall(), _LOST, timeout=_SHORT),
        "stall within the body": _Fails(faults.Stall(within=True), _LOST, timeout=_SHORT),
        "dropped before the reply": _Fails(faults.DropBefore(), _LOST),
        "dropped within the body": _Fails(faults.DropWithin(), _LOST),
        "reset within the body": _Fails(faults.Reset(within=True), _LOST),
        "refused connection": _knows_what_was_not_sent,
        "hides the key": _hides_the_key,
        "cancelled at any await": _cancels_anywhere,
    }
)
"""Every check by its name, in the order of ``check_provider``."""
