"""HTTP: how an attempt is sent. ``transport``, the door to aiohttp, is opened by the first client.

aiohttp is most of what importing everything would cost, and who imports headrace may not send
anything: a worker that only reads responses, a command that is used wrongly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from headrace.adapters import google_auth, keys

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from headrace.adapters.http.transport import MAX_BODY, Transport, opener
    from headrace.core.model import Route
    from headrace.core.reply import Reply

    Open: TypeAlias = Callable[[], Coroutine[object, object, Transport]]

__all__ = ["MAX_BODY", "Gate", "HttpExchange", "Transport", "opener"]
_BEHIND_THE_DOOR: Final = frozenset({"MAX_BODY", "Transport", "opener"})


class Gate(Protocol):
    """What the engine wants to know of, and to say, while an attempt is under way."""

    def is_shut(self) -> bool:
        """Must the request stay here, although it was admitted? Asked before the first byte."""

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of a refusal has come; its body may take a while."""


class HttpExchange:
    """One attempt's way to its provider; implements ``providers.base.Exchange``."""

    __slots__ = ("_gate", "_open", "_route", "_timeout")

    def __init__(self, open_: Open, route: Route, timeout: float, gate: Gate) -> None:
        """``open_`` gives the loop's transport; ``timeout`` in seconds, from the sending."""
        self._open = open_
        self._route = route
        self._timeout = timeout
        self._gate = gate

    async def post(
        self, path: str, body: bytes, headers: tuple[tuple[str, str], ...] = ()
    ) -> Reply:
        """Send once; see ``providers.base.Exchange``."""
        transport, route = await self._open(), self._route
        if route.endpoint.auth == "google":
            route, headers = await self._admitted(headers)
        reply = await transport.post(
            route, path, body, headers, timeout=self._timeout, gate=self._gate
        )
        if route is not self._route:
            google_auth.check_current(route, reply.status, keys.reveal(self._route.key))
        return reply

    async def _admitted(
        self, headers: tuple[tuple[str, str], ...]
    ) -> tuple[Route, tuple[tuple[str, str], ...]]:
        """Route and headers with Google's token of the moment."""
        route, more = await google_auth.admitted(self._route, keys.reveal(self._route.key))
        return route, (*more, *headers)


def __getattr__(name: str) -> object:
    """Load what is behind the door when it is asked for."""
    if name not in _BEHIND_THE_DOOR:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module("headrace.adapters.http.transport"), name)
    globals()[name] = value
    return value
