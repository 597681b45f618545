"""HTTP: how an attempt is sent. ``transport``, the door to aiohttp, is opened by the first client.

aiohttp is most of what importing everything would cost, and who imports headrace may not send
anything: a worker that only reads responses, a command that is used wrongly.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from headrace.adapters.http.incoming import MAX_BODY, MAX_STREAM, HttpIncoming
    from headrace.adapters.http.transport import Transport, opener
    from headrace.core.model import Route
    from headrace.core.reply import Reply

    Headers: TypeAlias = tuple[tuple[str, str], ...]
    Open: TypeAlias = Callable[[], Transport]

__all__ = ["MAX_BODY", "MAX_STREAM", "Gate", "HttpExchange", "Transport", "opener"]
_BEHIND_THE_DOOR: Final = {
    "MAX_BODY": "incoming",
    "MAX_STREAM": "incoming",
    "Transport": "transport",
    "opener": "transport",
}


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
        """``open_`` gives the loop's transport; ``timeout`` in seconds, from the sending.

        A stream may last longer: the time is that to its head, and that of each silence in it.
        """
        self._open = open_
        self._route = route
        self._timeout = timeout
        self._gate = gate

    # What only passes on is no coroutine: each of them costs something for every request.

    def post(
        self,
        path: str,
        body: bytes,
        headers: Headers = (),
        *,
        content_type: str = "application/json",
    ) -> Coroutine[object, object, Reply]:
        """Send once; see ``providers.base.Exchange``."""
        return self._send("POST", path, body, headers, content_type)

    def get(self, path: str, headers: Headers = ()) -> Coroutine[object, object, Reply]:
        """Ask once; see ``providers.base.Exchange``."""
        return self._send("GET", path, None, headers)

    def delete(self, path: str, headers: Headers = ()) -> Coroutine[object, object, Reply]:
        """Ask once; see ``providers.base.Exchange``."""
        return self._send("DELETE", path, None, headers)

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, headers: Headers = ()
    ) -> AsyncIterator[HttpIncoming]:
        """Send once and begin to read; see ``providers.base.Exchange``."""
        incoming = await self._open().open(
            self._route, path, body, headers, timeout=self._timeout, gate=self._gate
        )
        try:
            yield incoming
        finally:
            incoming.close()

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Headers,
        content_type: str = "application/json",
    ) -> Coroutine[object, object, Reply]:
        return self._open().send(
            self._route,
            method,
            path,
            body,
            headers,
            content_type=content_type,
            timeout=self._timeout,
            gate=self._gate,
        )


def __getattr__(name: str) -> object:
    """Load what is behind the door when it is asked for."""
    if name not in _BEHIND_THE_DOOR:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    module = import_module(f"headrace.adapters.http.{_BEHIND_THE_DOOR[name]}")
    value: object = getattr(module, name)
    globals()[name] = value
    return value
