"""The seam: one class per API, and one method that makes exactly one exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse

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

    @classmethod
    def decode(
        cls, context: RequestContext, route: Route, reply: Reply
    ) -> APIResponse[object] | None:
        """Read a recorded reply again, as a pure function; None where a class has no such form."""
        del context, route, reply
        return None
