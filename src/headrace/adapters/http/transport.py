"""The door to aiohttp: one session for each event loop.

What aiohttp does on its own account is turned off here: no redirects (it would carry ``x-api-key``
to another host), no cookies, no connection limit (its timeouts would count the time spent waiting
for a connection; admission is ours), no retries. Bodies are capped while they are read.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http_writer import StreamWriter

from headrace.adapters import keys
from headrace.adapters.aws.skew import Skew
from headrace.adapters.clock import SystemClock
from headrace.adapters.google_auth import Door
from headrace.adapters.http import auth
from headrace.adapters.http.incoming import HttpIncoming, read_whole
from headrace.adapters.http.naming import CAUGHT, NOT_WHOLE, SILENT, Naming
from headrace.adapters.proxy import Proxy
from headrace.adapters.tls import trusted
from headrace.core.errors import ConfigError, GoneError, HeldBackError
from headrace.core.reply import Reply
from headrace.core.secret import Masked
from headrace.registry.address import is_loopback
from headrace.wire import failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import Connection
    from aiohttp.typedefs import StrOrURL

    from headrace.adapters.clock import Clock
    from headrace.adapters.http import Gate
    from headrace.adapters.tls import CaFile
    from headrace.core.model import Route

# Below the usual five seconds of servers and proxies: a POST on a connection that the server has
# just closed fails, and aiohttp does not repeat POSTs.
KEEPALIVE: Final = 4.0
CONNECT: Final = 30.0
JSON: Final = "application/json"
# Fits into a socket's buffer: writing it does not wait.
_SMALL: Final = 32 * 1024
_FIRST_ERROR: Final = 300
# Routes, paths and headers that are remembered; paths may hold the ids of files.
_MAX_PREPARED: Final = 1024


Headers: TypeAlias = tuple[tuple[str, str], ...]
# The base URL, the whole one, headers, what hides the key, and a proxy.
_Prepared: TypeAlias = tuple[str, "StrOrURL", dict[str, str], keys.Veil, str | None]
_gate: ContextVar[Gate | None] = ContextVar("headrace_gate", default=None)


class _Request(ClientRequest):
    """Asks the gate once more when the connection is ready, before anything is written."""

    async def send(self, conn: Connection) -> ClientResponse:
        _check_gate()
        return await super().send(conn)


class _EagerRequest(_Request):
    """Writes a small body at once, as aiohttp itself does from Python 3.12 on.

    On 3.11 aiohttp starts a coroutine for every body, which writes one turn of the loop later:
    later than the gate was asked, and a tenth of the whole cost of a request. The shape is that of
    ``ClientRequest.send`` in aiohttp 3.14, and this class is used with that version alone.
    """

    async def send(self, conn: Connection) -> ClientResponse:
        protocol = conn.protocol
        size = self._get_content_length()
        if (
            protocol is None
            or protocol.writing_paused
            or size is None
            or size > _SMALL
            or self.proxy
        ):
            return await super().send(conn)
        _check_gate()
        writer = StreamWriter(protocol, self.loop)
        await writer.write_headers(f"{self.method} {self.url.raw_path_qs} HTTP/1.1", self.headers)
        await self.write_bytes(writer, conn, size)
        self.response = aiohttp.ClientResponse(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=[],
            loop=self.loop,
            session=self._session,
            stream_writer=writer,
        )
        return self.response


_IS_EAGER: Final = sys.version_info >= (3, 12) or not aiohttp.__version__.startswith("3.14.")


def _check_gate() -> None:
    gate = _gate.get()
    if gate is not None and gate.is_shut():
        msg = "the route was parked while the connection was being made"
        raise HeldBackError(msg)


class Transport:
    """One HTTP session, for the event loop that makes it."""

    def __init__(
        self,
        *,
        ca_file: CaFile = None,
        proxy: Proxy | None = None,
        trust_env: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._proxy = proxy
        file = None if ca_file is None else os.fspath(ca_file)
        self._door = Door(proxy, file, trust_env)
        self._clock = clock or SystemClock()
        self._skew = Skew()
        # Read here: aiohttp would also send what ~/.netrc has for the host, in the key's place.
        self._trust_env = trust_env
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=trusted(ca_file), keepalive_timeout=KEEPALIVE, ttl_dns_cache=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Request if _IS_EAGER else _EagerRequest,
        )
        self._prepared: dict[tuple[object, ...], tuple[Masked | None, _Prepared]] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def send(
        self,
        route: Route,
        method: str,
        path: str,
        body: bytes | None,
        headers: Headers = (),
        *,
        content_type: str = JSON,
        timeout: float,  # noqa: ASYNC109  aiohttp's own total; no asyncio.timeout per attempt
        gate: Gate | None,
    ) -> Reply:
        """Send once and return whatever whole reply comes; raise what became of it otherwise."""
        kind = content_type if body is not None else None
        asked, more = route, headers
        if auth.has_tokens(route):
            asked, more = await auth.admitted(route, headers, self._door)
        ready = self._prepare(asked, path, body, more, method=method, content_type=kind)
        try:
            response = await self._ask(method, body, ready, self._timeout(timeout), gate)
            kept = self._head(response, route, ready, gate)
        except CAUGHT as error:
            failed = Naming(route, ready[0], ready[3], timeout, NOT_WHOLE).before_head(error)
        else:
            try:
                return Reply(response.status, ready[3].over(await read_whole(response)), kept)
            except CAUGHT as error:
                failed = Naming(route, ready[0], ready[3], timeout, NOT_WHOLE).after_head(error)
        # Out here, so that aiohttp's error is not kept with it: that one holds frames, the prompt
        # and the request's headers, for as long as a failed response is kept.
        raise failed

    async def open(
        self,
        route: Route,
        path: str,
        body: bytes,
        headers: Headers = (),
        *,
        timeout: float,  # noqa: ASYNC109  the head's and that of each silence, not of the whole
        gate: Gate | None,
    ) -> HttpIncoming:
        """Send once and return when the head has come; whoever calls closes what is returned."""
        asked, more = await auth.admitted(route, headers, self._door)
        ready = self._prepare(asked, path, body, more, method="POST", content_type=JSON)
        naming = Naming(route, ready[0], ready[3], timeout, SILENT)
        limit = aiohttp.ClientTimeout(
            total=None, sock_connect=_to_connect(timeout), sock_read=timeout
        )
        try:
            # A head that drips is never silent; and there are few streams for each second.
            async with asyncio.timeout(timeout):
                response = await self._ask("POST", body, ready, limit, gate)
            kept = self._head(response, route, ready, gate)
        except CAUGHT as error:
            failed = naming.before_head(error)
        else:
            return HttpIncoming(response, kept, naming)
        raise failed

    def _ask(
        self,
        method: str,
        body: bytes | None,
        ready: _Prepared,
        limit: aiohttp.ClientTimeout,
        gate: Gate | None,
    ) -> Awaitable[ClientResponse]:
        """Send once; done when the head of the reply has come."""
        _, url, prepared, _, proxy = ready
        _gate.set(gate)
        return self._session.request(
            method,
            url,
            data=body,
            headers=prepared,
            allow_redirects=False,
            timeout=limit,
            proxy=proxy,
        )

    def _head(
        self, response: ClientResponse, route: Route, ready: _Prepared, gate: Gate | None
    ) -> dict[str, str]:
        """The headers that are kept, after those who shall know of a refusal have heard of it."""
        kept = ready[3].over_headers(_kept(response.headers))
        if response.status >= _FIRST_ERROR:
            if gate is not None:
                gate.hear(response.status, kept)
            auth.check_current(route, response, ready[2], self._door)
            now = self._clock.wall()
            auth.check_clock(route, response, ready[2], self._skew, now=now)
        return kept

    async def aclose(self) -> None:
        """Close the session and its connections."""
        await self._session.close()
        # Transports close in the turns after; without these asyncio warns about open sockets.
        await asyncio.sleep(0)

    def _prepare(
        self,
        route: Route,
        path: str,
        body: bytes | None,
        headers: Headers,
        *,
        method: str,
        content_type: str | None,
    ) -> _Prepared:
        """What is built once for each route and key value; the key is read each time."""
        key = None if route.endpoint.auth == "none" else keys.reveal(route.key)
        slot = (route, path, headers, content_type)
        known = self._prepared.get(slot)
        if known is None or known[0] != key:
            if route.endpoint.auth == "aws":  # never kept, and so only looked for here
                plain = _headers(route, None, headers, content_type)
                now = self._skew.now(self._clock.wall())
                made = auth.signed(route, method, path, plain, body or b"", now=now)
                return made[3], *made[:3], self._proxy_to(route, made[3])
            base_url = route.base_url.rstrip("/")
            url, proxy = base_url + path + route.query, self._proxy_to(route, base_url)
            key = keys.require(route)
            named = _headers(route, key, headers, content_type)
            ready = (base_url, url, named, keys.Veil(key), proxy)
            if len(self._prepared) >= _MAX_PREPARED:
                self._prepared.clear()
            known = self._prepared[slot] = (key, ready)
        return known[1]

    def _proxy_to(self, route: Route, base_url: str) -> str | None:
        if not route.endpoint.base_url:  # started by us, on this machine
            return None
        proxy = self._proxy
        try:
            if proxy is None and self._trust_env:
                proxy = Proxy.of_environment(base_url)
        except ConfigError as error:
            msg = f"{route.id}: the environment's {error}"
            raise GoneError(msg) from None
        # One elsewhere would look for this machine's server on its own, and get the key in clear.
        is_local = is_loopback(urlsplit(base_url).hostname or "")
        if proxy is None or (is_local and not proxy.is_here):
            return None
        return Masked(proxy.reveal())

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        known = self._timeouts.get(seconds)
        if known is None:
            if len(self._timeouts) > 64:  # noqa: PLR2004 - deadlines differ; keep a few
                self._timeouts.clear()
            known = aiohttp.ClientTimeout(total=seconds, sock_connect=_to_connect(seconds))
            self._timeouts[seconds] = known
        return known


def opener(
    *, ca_file: CaFile, proxy: Proxy | None, trust_env: bool, clock: Clock
) -> Callable[[], Transport]:
    """How the sessions of a client are made."""
    return partial(Transport, ca_file=ca_file, proxy=proxy, trust_env=trust_env, clock=clock)


def _to_connect(seconds: float) -> float:
    """Before the rest, so that who never got a connection knows that nothing was sent."""
    return min(CONNECT, seconds / 2)


def _headers(
    route: Route, key: Masked | None, headers: Headers, content_type: str | None
) -> dict[str, str]:
    ready = dict(headers)
    if content_type is not None:
        ready["Content-Type"] = content_type
    ready["User-Agent"] = "headrace"
    if key is not None:
        name, value = auth.header(route, key)
        ready[name] = value
    return ready


_names: dict[str, str | None] = {}


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {}
    for name, value in headers.items():
        low = _names.get(name, "")
        if low == "":
            low = _remember(name)
        if low is not None:
            kept[low] = value
    return kept


def _remember(name: str) -> str | None:
    low = name.lower()
    found = low if failure.keeps(low) else None
    if len(_names) < 1_000:  # noqa: PLR2004 - a server that makes up names must not fill memory
        _names[name] = found
    return found
