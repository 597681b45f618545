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
from headrace.adapters.proxy import Proxy
from headrace.adapters.tls import trusted
from headrace.core.errors import (
    ConfigError,
    ConnectionLostError,
    GoneError,
    HeldBackError,
    NotSentError,
    OutcomeUnknownError,
    ReplyError,
)
from headrace.core.reply import Reply
from headrace.registry.address import is_loopback
from headrace.wire import failure, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import Connection

    from headrace.adapters.http import Gate
    from headrace.adapters.tls import CaFile
    from headrace.core.model import Route

MAX_BODY: Final = 32 * 1024 * 1024
# Below the usual five seconds of servers and proxies: a POST on a connection that the server has
# just closed fails, and aiohttp does not repeat POSTs.
KEEPALIVE: Final = 4.0
CONNECT: Final = 30.0
# Fits into a socket's buffer: writing it does not wait.
_SMALL: Final = 32 * 1024
_FIRST_ERROR: Final = 300
_PROXY: Final = "check proxy= and the proxy variables of the environment"


_Prepared: TypeAlias = tuple[str, dict[str, str], keys.Veil, str | None]
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
        await writer.write_headers(f"POST {self.url.raw_path_qs} HTTP/1.1", self.headers)
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
    ) -> None:
        self._proxy = proxy
        # Read here: aiohttp would also send what ~/.netrc has for the host, in the key's place.
        self._trust_env = trust_env
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=trusted(ca_file), keepalive_timeout=KEEPALIVE, ttl_dns_cache=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Request if _IS_EAGER else _EagerRequest,
        )
        self._prepared: dict[tuple[object, ...], tuple[str | None, _Prepared]] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def post(
        self,
        route: Route,
        path: str,
        body: bytes,
        headers: tuple[tuple[str, str], ...],
        *,
        timeout: float,  # noqa: ASYNC109  aiohttp's own total; no asyncio.timeout per attempt
        gate: Gate | None,
    ) -> Reply:
        """Send ``body`` once and return whatever reply comes; raise what became of it otherwise."""
        url, ready, veil, proxy = self._prepare(route, path, headers)
        _gate.set(gate)
        try:
            response = await self._session.post(
                url,
                data=body,
                headers=ready,
                allow_redirects=False,
                timeout=self._timeout(timeout),
                proxy=proxy,
            )
            kept = veil.over_headers(_kept(response.headers))
            if gate is not None and response.status >= _FIRST_ERROR:
                gate.hear(response.status, kept)
            return Reply(response.status, veil.over(await _read(response)), kept)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failed = _translate(error, route, timeout, veil)
        # Out here, so that aiohttp's error is not kept with it: that one holds frames, the prompt
        # and the request's headers, for as long as a failed response is kept.
        raise failed

    async def aclose(self) -> None:
        """Close the session and its connections."""
        await self._session.close()
        # Transports close in the turns after; without these asyncio warns about open sockets.
        await asyncio.sleep(0)

    def _prepare(self, route: Route, path: str, headers: tuple[tuple[str, str], ...]) -> _Prepared:
        """What is built once for each route and key value; the key is read each time."""
        key = None if route.endpoint.auth == "none" else keys.reveal(route.key)
        slot = (route, path, headers)
        known = self._prepared.get(slot)
        if known is None or known[0] != key:
            del key, known  # what fails now must not show a key in its traceback
            url, proxy = route.base_url.rstrip("/") + path + route.query, self._proxy_to(route)
            key = keys.require(route)
            ready = (url, _headers(route, key, headers), keys.Veil(key), proxy)
            known = self._prepared[slot] = (key, ready)
        return known[1]

    def _proxy_to(self, route: Route) -> str | None:
        if not route.endpoint.base_url:  # started by us, on this machine
            return None
        proxy = self._proxy
        try:
            if proxy is None and self._trust_env:
                proxy = Proxy.of_environment(route.base_url)
        except ConfigError as error:
            msg = f"{route.id}: the environment's {error}"
            raise GoneError(msg) from None
        # One elsewhere would look for this machine's server on its own, and get the key in clear.
        is_local = is_loopback(urlsplit(route.base_url).hostname or "")
        if proxy is None or (is_local and not proxy.is_here):
            return None
        return keys.Masked(proxy.reveal())

    def _timeout(self, seconds: float) -> aiohttp.ClientTimeout:
        known = self._timeouts.get(seconds)
        if known is None:
            if len(self._timeouts) > 64:  # noqa: PLR2004 - deadlines differ; keep a few
                self._timeouts.clear()
            # Before the total, so that who never got a connection knows that nothing was sent.
            connect = min(CONNECT, seconds / 2)
            known = aiohttp.ClientTimeout(total=seconds, sock_connect=connect)
            self._timeouts[seconds] = known
        return known


def opener(*, ca_file: CaFile, proxy: Proxy | None, trust_env: bool) -> Callable[[], Transport]:
    """How the sessions of a client are made."""
    return partial(Transport, ca_file=ca_file, proxy=proxy, trust_env=trust_env)


def _headers(route: Route, key: str | None, headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    ready = dict(headers)
    ready["Content-Type"] = "application/json"
    ready["User-Agent"] = "headrace"
    if key is not None:
        auth = route.endpoint.auth
        if auth == "bearer":
            ready["Authorization"] = keys.Masked(f"Bearer {key}")
        else:
            ready[auth] = keys.Masked(key)
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


async def _read(response: ClientResponse) -> bytes:
    length = response.content_length
    if length is not None and length <= MAX_BODY and "Content-Encoding" not in response.headers:
        return await response.read()  # which closes the connection when it fails
    try:
        return await _read_capped(response, length or 0)
    except BaseException:
        response.close()
        raise


async def _read_capped(response: ClientResponse, announced: int) -> bytes:
    _check_size(announced, response)
    blocks, size = [], 0
    async for block in response.content.iter_any():
        size += len(block)
        _check_size(size, response)
        blocks.append(block)
    return b"".join(blocks)


def _check_size(size: int, response: ClientResponse) -> None:
    if size > MAX_BODY:
        msg = (
            f"the reply is larger than {MAX_BODY >> 20} MiB and was not read to its end;"
            " check that the base_url is that of an API"
        )
        raise ReplyError(msg, status=response.status)


def _translate(
    error: Exception, route: Route, timeout: float, veil: keys.Veil
) -> NotSentError | OutcomeUnknownError:
    """aiohttp's exceptions as ours; the one place that knows them."""
    where = f"{route.base_url} ({route.id})"
    host = urlsplit(route.base_url).hostname
    return (
        _by_proxy(error, where, host)
        or _before_sending(error, where, host)
        or _after_sending(error, where, timeout, veil)
    )


def _by_proxy(error: Exception, where: str, host: str | None) -> NotSentError | None:
    match error:
        case aiohttp.ClientProxyConnectionError():
            said = f"cannot be connected to: {_brief(error)}; {_PROXY}"
        case aiohttp.ClientConnectorDNSError() if error.host != host:
            said = f"cannot be found; {_PROXY}, and the network"
        case aiohttp.ClientHttpProxyError():  # its text has the proxy's URL, maybe with a password
            said = f"refused with status {error.status}; check proxy="
        case _:
            return None
    return NotSentError(f"the proxy on the way to {where} {said}")


def _before_sending(error: Exception, where: str, host: str | None) -> NotSentError | None:
    match error:
        case aiohttp.ConnectionTimeoutError() if where[:6] == "https:" and is_loopback(host or ""):
            # A connection to this machine takes no time; its TLS handshake got no answer.
            said = f"{where} does not answer over TLS; perhaps the server speaks http"
        case aiohttp.ClientConnectorCertificateError():
            said = (
                f"{where} has no TLS certificate that is trusted here: {_brief(error)};"
                " check base_url, or pass ca_file="
            )
        case aiohttp.ClientConnectorSSLError():
            said = (
                f"{where} cannot be spoken to over TLS: {_brief(error)};"
                " check the scheme and the port of base_url"
            )
        case aiohttp.ClientConnectorDNSError():
            said = f"the host of {where} cannot be found; check base_url and the network"
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            said = (
                f"{where} cannot be connected to: {_why(error)};"
                " check base_url and that the server runs"
            )
        case aiohttp.InvalidURL():
            said = f"{where} is no URL that can be asked; check base_url and proxy="
        case ValueError():
            said = f"the request to {where} cannot be written: {_brief(error)}; check its headers"
        case _:
            return None
    return NotSentError(said)


def _after_sending(
    error: Exception, where: str, timeout: float, veil: keys.Veil
) -> OutcomeUnknownError:
    match error:
        case TimeoutError():
            return OutcomeUnknownError(
                f"{where} gave no whole reply within {timeout:g} s;"
                " the request may have been charged"
            )
        case aiohttp.ClientPayloadError():
            return OutcomeUnknownError(
                f"the reply of {where} broke off or was garbled; the request may have been charged"
            )
        case aiohttp.ClientResponseError():
            said = reading.clean(veil.over_text(error.message))
            return OutcomeUnknownError(f"{where} sent something that is not HTTP: {said}")
    return ConnectionLostError(f"{where} closed the connection without a reply: {_brief(error)}")


def _why(error: Exception) -> str:
    """The system's own word, without aiohttp's."""
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    return os.strerror(number).lower() if number and number > 0 else _brief(cause)


def _brief(error: Exception) -> str:
    return reading.clean(str(error)) or type(error).__name__
