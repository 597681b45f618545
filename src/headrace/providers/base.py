"""The seam: one class per API, and one method that makes exactly one exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from headrace.core.chunks import EndChunk, TextChunk, UsageChunk, pieces
from headrace.core.errors import RejectedError
from headrace.core.reply import Reply
from headrace.wire import checks, failure
from headrace.wire.framing import FramingError, decoder_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft, Fold
    from headrace.wire.framing import Frame, Framing

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Incoming(Protocol):
    """A reply whose head has come, and whose body comes."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The kept headers, as in ``Reply``."""

    async def read(self) -> Reply:
        """The whole body, capped as that of ``post``; for what is no stream, such as a refusal.

        Raises ``OutcomeUnknownError`` where its end does not come, ``ReplyError`` for a large one.
        """

    def blocks(self) -> AsyncIterator[bytes]:
        """The body, decompressed, in blocks as they come, which are cut anywhere.

        It may be left at any place, and ends when the server says so; a stream can be told whole
        only by what is in it. Raises ``OutcomeUnknownError`` where it broke off or fell silent for
        the exchange's time-out (comments and pings are no silence), ``ReplyError`` above 256 MiB.
        """


class Exchange(Protocol):
    """The way to the provider for one attempt: credentials, timeout and bounds are its business.

    Each call makes one exchange on the path below the route's base URL. It raises ``NotSentError``
    or ``OutcomeUnknownError`` where nothing readable came back. One of your own needs ``post``
    alone, as long as nothing else is asked of it.
    """

    async def post(
        self,
        path: str,
        body: bytes,
        headers: Headers = (),
        *,
        content_type: str = "application/json",
    ) -> Reply:
        """Send ``body`` once and return whatever came back."""

    async def get(self, path: str, headers: Headers = ()) -> Reply:
        """Ask once and return whatever came back."""

    async def delete(self, path: str, headers: Headers = ()) -> Reply:
        """Ask once and return whatever came back."""

    def stream(
        self, path: str, body: bytes, headers: Headers = ()
    ) -> AbstractAsyncContextManager[Incoming]:
        """Send ``body`` once, and begin to read whatever comes back.

        The time-out is that to the head of the reply, and that of each silence in its body; the
        whole may last longer. Leaving closes the connection, or gives it back when the body came
        to its end.
        """


class ProviderRequest(ABC):
    """One exchange with one provider for one context.

    ``execute_once`` encodes, sends, reads failure and decodes, about ten lines. It returns an
    answer that still carries its raw ``reply``, or raises a ``ProviderError``; it never retries,
    sleeps, logs, or touches limits, and may be cancelled at each await.
    """

    __slots__ = ("context", "exchange", "route")
    epoch: ClassVar[int] = 1
    """Counted up when replies are read differently, so that older cached answers are not used."""

    def __init__(self, context: RequestContext, route: Route, exchange: Exchange) -> None:
        """Made by the engine for each attempt."""
        self.context = context
        self.route = route
        self.exchange = exchange

    @abstractmethod
    async def execute_once(self) -> APIResponse[object]:
        """Make one exchange; return the answer or raise a typed error."""

    def stream_once(self) -> AsyncGenerator[Chunk]:
        """Make one exchange and yield what comes as it comes, ``EndChunk`` last, or raise."""
        msg = f"{self.route.id} cannot be streamed; ask without streaming"
        raise RejectedError(msg)

    @classmethod
    def decode(
        cls, context: RequestContext, route: Route, reply: Reply
    ) -> APIResponse[object] | None:
        """Read a recorded reply again, as a pure function; None where a class has no such form."""
        del context, route, reply
        return None


class Codec(Protocol):
    """How one API writes: a module of ``wire``. Pure."""

    EPOCH: int
    FRAMING: Framing

    def encode(self, context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
        """The request; raises ``RejectedError`` for what the API cannot carry."""

    def decode(self, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """The answer in a reply with status 200; raises the error that it is otherwise."""

    def fold(self, context: RequestContext, route: Route) -> Fold:
        """What takes the frames of a stream."""


class CodecRequest(ProviderRequest):
    """An exchange that a codec writes and reads, and nothing else has a say in."""

    __slots__ = ()
    codec: ClassVar[Codec]

    def __init_subclass__(cls) -> None:
        """Replies are read as the codec reads them, where a class does not say otherwise."""
        if "epoch" not in vars(cls):
            cls.epoch = cls.codec.EPOCH

    async def execute_once(self) -> APIResponse[object]:
        """Make one exchange; see ``ProviderRequest``."""
        checks.check(self.context, self.route)
        draft = self.codec.encode(self.context, self.route)
        reply = await self.exchange.post(draft.path, draft.body, draft.headers)
        response = self.decode(self.context, self.route, reply)
        return replace(response, adaptations=draft.adaptations) if draft.adaptations else response

    async def stream_once(self) -> AsyncGenerator[Chunk]:
        """Make one exchange, and fold what comes into the reply that there is without a stream.

        A server that answers whole all the same is read as without one.
        """
        checks.check(self.context, self.route)
        draft = self.codec.encode(self.context, self.route, stream=True)
        fold, body, has_said = self.codec.fold(self.context, self.route), None, False
        async with self.exchange.stream(draft.path, draft.body, draft.headers) as incoming:
            if incoming.status != failure.OK:
                failure.check(await incoming.read())
            async with aclosing(_frames(incoming, self.codec.FRAMING)) as frames:
                async for frame in frames:
                    if frame.is_body:
                        body = frame.data
                        break
                    for chunk in fold.feed(frame.event, frame.data):
                        has_said = has_said or type(chunk) is TextChunk
                        yield chunk
            headers = incoming.headers
        reply = fold.reply() if body is None else Reply(failure.OK, body)
        response = self.decode(self.context, self.route, replace(reply, headers=headers))
        for chunk in () if body is None else pieces(response):
            yield chunk
        if body is not None and response.usage is not None:
            yield UsageChunk(response.usage)
        if body is None and not has_said and response.completion:  # see ``wire.shaped``
            yield TextChunk(response.completion)
        yield EndChunk(replace(response, adaptations=draft.adaptations))

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a recorded reply again."""
        failure.check(reply)
        return cls.codec.decode(context, route, reply)


async def _frames(incoming: Incoming, framing: Framing) -> AsyncGenerator[Frame]:
    decoder = decoder_of(framing)
    try:
        async for block in incoming.blocks():
            for frame in decoder.feed(block):
                yield frame
        for frame in decoder.end():
            yield frame
    except FramingError as error:
        reply = Reply(incoming.status, b"", incoming.headers)
        failed = failure.unreadable(reply, str(error))
    else:
        return
    raise failed
