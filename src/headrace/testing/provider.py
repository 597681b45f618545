"""A scripted provider at the seam: no sockets, no real time, each send on record."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import orjson

from headrace.core.chunks import EndChunk, TextChunk, UsageChunk
from headrace.core.errors import ProviderError, ReplyError
from headrace.core.parts import ToolCall
from headrace.core.reply import Reply
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.providers.base import ProviderRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer after ``latency`` seconds; tokens are words where not given.

    ``metadata`` is what the provider says beside it, such as its own ``"finish_reason"``.
    """

    text: str
    latency: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=lambda: NOTHING)

    def __post_init__(self) -> None:
        """Read again what was written as JSON."""
        calls = (ToolCall(**c) if isinstance(c, Mapping) else c for c in self.tool_calls)
        object.__setattr__(self, "tool_calls", tuple(calls))


@dataclass(frozen=True, slots=True)
class Failure:
    """An error after ``latency`` seconds; a stream has brought the words ``said`` by then."""

    error: ProviderError
    latency: float = 0.0
    said: str = ""


Outcome: TypeAlias = Answer | Failure | ProviderError | str | float
Rule: TypeAlias = "Callable[[RequestContext, Route, int], Outcome]"


@dataclass(frozen=True, slots=True)
class Call:
    """One send: the text of the last user message, the route's id, the loop's time in seconds.

    ``n`` counts the sends from 0, ``in_flight`` those under way, this one included.
    """

    n: int
    prompt: str
    route: str
    at: float
    in_flight: int


class Script:
    """What each send meets: outcomes in order of sending, or a function that decides.

    A string is an answer, a number is the seconds before an echo of the prompt, an error is raised
    (as a copy, so that one may stand for many). After the last outcome each prompt is echoed.
    """

    def __init__(self, outcomes: Iterable[Outcome] | Rule = (), *, latency: float = 0.0) -> None:
        """``latency``: seconds before an outcome that names none."""
        rule: Rule | None = outcomes if callable(outcomes) else None
        self._rule = rule
        self._outcomes = () if callable(outcomes) else tuple(outcomes)
        self._latency = latency
        self.calls: list[Call] = []
        self.in_flight = self.in_flight_peak = 0

    def begin(self, context: RequestContext, route: Route) -> Answer | Failure:
        """Put a send on record and say what it meets."""
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        n, prompt = len(self.calls), prompt_of(context)
        at = asyncio.get_running_loop().time()
        self.calls.append(Call(n, prompt, route.id, at, self.in_flight))
        return self._whole(self._outcome(context, route, n), prompt)

    def end(self) -> None:
        """A send is over."""
        self.in_flight -= 1

    def _outcome(self, context: RequestContext, route: Route, n: int) -> Outcome:
        if self._rule is not None:
            return self._rule(context, route, n)
        return self._outcomes[n] if n < len(self._outcomes) else self._latency

    def _whole(self, outcome: Outcome, prompt: str) -> Answer | Failure:
        match outcome:
            case Answer() | Failure():
                return outcome
            case ProviderError():
                return Failure(outcome, self._latency)
            case str():
                return Answer(outcome, self._latency)
        return Answer(f"echo: {prompt}", outcome)


class ScriptedRequest(ProviderRequest):
    """One scripted exchange; never uses its ``exchange``, which may be None."""

    __slots__ = ()
    script: ClassVar[Script]

    async def execute_once(self) -> APIResponse[object]:
        """Wait the outcome's latency; return its answer or raise its error."""
        try:
            outcome = self.script.begin(self.context, self.route)
            await asyncio.sleep(outcome.latency)
        finally:
            self.script.end()
        if isinstance(outcome, Failure):
            raise copy.copy(outcome.error)
        return self.decode(self.context, self.route, _reply(outcome))

    async def stream_once(self) -> AsyncGenerator[Chunk]:
        """Bring the outcome's words one by one, the latency in equal parts between them."""
        try:
            outcome = self.script.begin(self.context, self.route)
            text = outcome.said if isinstance(outcome, Failure) else outcome.text
            words = [f"{word} " for word in text.split(" ")[:-1]] + text.split(" ")[-1:]
            for word in filter(None, words):
                await asyncio.sleep(outcome.latency / len(words))
                yield TextChunk(word)
        finally:
            self.script.end()
        if isinstance(outcome, Failure):
            raise copy.copy(outcome.error)
        response = self.decode(self.context, self.route, _reply(outcome))
        yield UsageChunk(response.usage or Usage())
        yield EndChunk(response)

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a reply of this class again; raises ``ReplyError`` for any other bytes."""
        try:
            answer = Answer(**orjson.loads(reply.body))
        except (TypeError, ValueError):
            msg = (
                "the reply is not one of a scripted provider; replay it with the class that got it"
            )
            raise ReplyError(msg, status=reply.status, reply=reply) from None
        return APIResponse(
            completion=answer.text or (None if answer.tool_calls else ""),
            tool_calls=answer.tool_calls,
            metadata=answer.metadata,
            usage=_usage(answer, prompt_of(context)),
            finish_reason=answer.finish_reason,
            model=route.model.name,
            reply=reply,
        )


def scripted(script: Script) -> type[ScriptedRequest]:
    """A provider class whose requests follow ``script``."""
    the_script = script

    class Scripted(ScriptedRequest):
        __slots__ = ()
        script = the_script

    return Scripted


def prompt_of(context: RequestContext) -> str:
    """The text of the last user message."""
    said = [message.text for message in context.conversation.messages if message.role == "user"]
    return said[-1] if said else ""


def _reply(answer: Answer) -> Reply:
    return Reply(200, orjson.dumps(answer, dict), {"content-type": "application/json"})


def _usage(answer: Answer, prompt: str) -> Usage:
    asked, said = answer.input_tokens, answer.output_tokens
    return Usage(
        input_tokens=len(prompt.split()) if asked is None else asked,
        output_tokens=len(answer.text.split()) if said is None else said,
    )
