"""The seam: one class per API, and one method that makes exactly one exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from headrace.wire import failure

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Exchange(Protocol):
    """The way to the provider for one attempt: credentials, timeout and bounds are its business."""

    async def post(self, path: str, body: bytes, headers: Headers = ()) -> Reply:
        """Send ``body`` once to the route's base URL plus ``path`` and return whatever came back.

        Raises ``NotSentError`` or ``OutcomeUnknownError`` where nothing readable came back.
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

    def stream_once(self) -> AsyncIterator[Chunk]:
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
        draft = self.codec.encode(self.context, self.route)
        reply = await self.exchange.post(draft.path, draft.body, draft.headers)
        response = self.decode(self.context, self.route, reply)
        return replace(response, adaptations=draft.adaptations) if draft.adaptations else response

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a recorded reply again."""
        failure.check(reply)
        return cls.codec.decode(context, route, reply)
