"""The door to google-auth: OAuth tokens for Vertex, and where on Vertex a request goes.

A token given in code or by the environment is used as it is. Otherwise google-auth looks for the
application default credentials, in its order: the file of ``GOOGLE_APPLICATION_CREDENTIALS``
(service accounts, workload identity), gcloud's login, the metadata server. Their token is kept for
the process and renewed five minutes before its end, by one thread at a time, off the event loop.
It is asked for on the client's own way out: by its proxy, trusting its ``ca_file``. No proxy is on
the way to this machine's own metadata server, which is asked in plain HTTP, or by its name.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from headrace.adapters.proxy import Proxy
from headrace.core.errors import ConfigError, GoneError, NotSentError, ProviderError
from headrace.core.model import KeySource
from headrace.core.secret import Masked, Secret
from headrace.registry.address import is_loopback
from headrace.wire import reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.core.model import Route

Headers: TypeAlias = tuple[tuple[str, str], ...]

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_PROJECT, _LOCATION = "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"
# Seconds.
_EARLY: Final = 300.0
_HOUR: Final = 3600.0
_AGAIN: Final = 30.0
_BETWEEN_REFUSALS: Final = 60.0
_ASKING: Final = 30.0
_MANY: Final = 64
# They become a part of the host's name and of the path.
_NAMES: Final = {
    _PROJECT: re.compile(r"[a-z0-9][a-z0-9.:-]{0,98}[a-z0-9]"),
    _LOCATION: re.compile(r"[a-z0-9][a-z0-9-]{0,38}[a-z0-9]"),
}
_LOG_IN: Final = (
    f"run gcloud auth application-default login, set {_FILE} to a key file, or"
    " GOOGLE_OAUTH_ACCESS_TOKEN to a token"
)

# This machine's own, which may want TLS (``GCE_METADATA_MTLS_MODE``); no other can ask it.
_METADATA: Final = frozenset({"metadata.google.internal", "169.254.169.254"})
# Whose certificates are trusted where no file is given, as requests and OpenSSL are told.
_TRUSTED: Final = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_INSTALL: Final = (
    "needs google-auth to get a token; install headrace[vertex], or set GOOGLE_OAUTH_ACCESS_TOKEN"
)


@dataclass(frozen=True, slots=True)
class Door:
    """By which way a client goes out; ``trust_env``: by the environment's proxy where none is."""

    proxy: Proxy | None = None
    ca_file: str | None = None
    trust_env: bool = False

    def proxies(self, url: str) -> dict[str, str]:
        """The proxy on the way to ``url``, as requests wants it."""
        parts = urlsplit(url)
        proxy = self.proxy
        if proxy is None and self.trust_env:
            proxy = Proxy.of_environment(url)
        host = parts.hostname or ""
        if proxy is None or parts.scheme != "https" or host in _METADATA:
            return {}
        if is_loopback(host) and not proxy.is_here:
            return {}
        return {"https": proxy.reveal()}

    @property
    def trusted(self) -> str | bool:
        """The file with the certificates to trust; True: those that requests brings along."""
        return self.ca_file or next(filter(None, map(os.environ.get, _TRUSTED)), True)


_STRAIGHT: Final = Door()


@dataclass(frozen=True, slots=True)
class Token:
    """A token with what was found beside it, and the moments when it is renewed and ends."""

    value: Masked
    renew_at: float
    good_until: float
    project: str | None = None
    quota_project: str | None = None


def check(route: Route, given: Masked | None) -> None:
    """Raise ``ConfigError`` where it is clear, without asking anybody, that there is no token."""
    if given:
        _base_url(route, None)
    elif _is_missing():
        raise ConfigError(f"{route.id} {_INSTALL}")


async def admitted(
    route: Route, given: Masked | None, door: Door = _STRAIGHT
) -> tuple[Route, Headers]:
    """``route`` with a token that holds and its base URL filled in, and headers to send with it.

    It is the same object as long as nothing changes. Raises ``GoneError`` where no token is to be
    had, ``NotSentError`` where Google's token server cannot be reached.
    """
    token = Token(given, 0.0, 0.0) if given else await _here(door).token(route.id)
    try:
        return _ready(route, token)
    except ConfigError as error:
        raise GoneError(error.message) from None


def is_renewed(sent: str, given: Masked | None, door: Door = _STRAIGHT) -> bool:
    """Is there, or may there be, another token than that of the header, which was refused?"""
    value = Masked(sent.removeprefix("Bearer "))
    return given != value if given else _here(door).is_to_be_renewed(value)


_routes: dict[tuple[Route, str, str], Route] = {}


def _ready(route: Route, token: Token) -> tuple[Route, Headers]:
    base_url = _base_url(route, token.project)
    slot = (route, token.value, base_url)
    ready = _routes.get(slot)
    if ready is None:
        if len(_routes) >= _MANY:
            _routes.clear()
        row = route.endpoint.model_copy(update={"auth": "bearer"})
        key = KeySource(secret=Secret(token.value))
        ready = _routes[slot] = replace(route, endpoint=row, base_url=base_url, key=key)
    quota = token.quota_project
    return ready, (("x-goog-user-project", quota),) if quota else ()


def _base_url(route: Route, found: str | None) -> str:
    """Where Vertex is for this route; raises ``ConfigError`` where the project is not known."""
    url = route.base_url
    if "{" not in url:
        return url
    project = os.environ.get(_PROJECT) or found
    location = route.region or os.environ.get(_LOCATION) or "global"
    if not project:
        msg = f"{route.id} needs the id of a Google Cloud project; set {_PROJECT}"
        raise ConfigError(msg)
    for name, value in ((_PROJECT, project), (_LOCATION, location)):
        if not _NAMES[name].fullmatch(value):
            msg = f"{route.id}: {name} is {value!r:.100}, which cannot be one; set it anew"
            raise ConfigError(msg)
    return url.format(host=_host(location), project=project, location=location)


def _host(location: str) -> str:
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in {"us", "eu"}:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def _is_missing() -> bool:
    return find_spec("google") is None or find_spec("google.auth") is None


class Tokens:
    """The tokens of one identity: loops wait for a thread, and threads for each other."""

    def __init__(
        self, moment: Callable[[], float] = time.monotonic, door: Door = _STRAIGHT
    ) -> None:
        """``moment`` is the time in seconds, from whenever."""
        self._moment = moment
        self._door = door
        self._lock = Lock()
        self._credentials: Any = None
        self._project: str | None = None
        self._now: Token | None = None
        self._refused_at = -_BETWEEN_REFUSALS
        self._renewals: WeakKeyDictionary[
            asyncio.AbstractEventLoop, asyncio.Future[Token | ProviderError]
        ] = WeakKeyDictionary()

    async def token(self, asker: str) -> Token:
        """The token of now, a new one where it is time; raises as ``admitted`` does."""
        now = self._now
        if now is not None and self._moment() < now.renew_at:
            return now
        loop = asyncio.get_running_loop()
        renewal = self._renewals.get(loop)
        if renewal is None or renewal.done():
            renewal = self._renewals[loop] = loop.run_in_executor(None, self._renew)
        # Not awaited itself: who is cancelled must not cancel it for the others.
        await asyncio.wait([renewal])
        found = renewal.result()
        if isinstance(found, ProviderError):
            raise type(found)(f"{asker}: {found.message}")
        return found

    def is_to_be_renewed(self, sent: str) -> bool:
        """Is there another token than ``sent`` by now, or may one be asked for?"""
        now, moment = self._now, self._moment()
        if now is None or now.value != sent:
            return True
        if moment - self._refused_at < _BETWEEN_REFUSALS:
            return False
        self._refused_at, self._now, self._credentials = moment, None, None
        return True

    def _renew(self) -> Token | ProviderError:
        with self._lock:
            now = self._now
            if now is not None and self._moment() < now.renew_at:
                return now
            found = self._ask()
            if isinstance(found, Token):
                self._now = found
            elif now is not None and (moment := self._moment()) < now.good_until:
                self._now = found = replace(now, renew_at=moment + _AGAIN)
            return found

    def _ask(self) -> Token | ProviderError:
        if _is_missing():
            return GoneError(f"Vertex {_INSTALL}")
        from google.auth import exceptions  # noqa: PLC0415 - an extra, behind its one door

        try:
            return self._fetch()
        except exceptions.DefaultCredentialsError as error:
            said = f"no credentials of Google Cloud are to be found ({_brief(error)}); {_LOG_IN}"
            return GoneError(said)
        except ConfigError as error:
            return GoneError(f"the environment's {error.message}")
        except exceptions.GoogleAuthError as error:
            if isinstance(error, exceptions.TransportError) or error.retryable:
                said = f"Google's token server gave no token ({_brief(error)}); check the network"
                return NotSentError(said)
            return GoneError(f"Google gave no access token ({_brief(error)}); {_LOG_IN}")

    def _fetch(self) -> Token:
        import google.auth  # noqa: PLC0415 - an extra, behind its one door
        from google.auth.transport.requests import Request  # noqa: PLC0415 - the same

        request: Any = Request()
        request.session.verify = self._door.trusted
        request.session.trust_env = False  # beside its proxy: ~/.netrc, and no other file
        ask: Any = _Through(self._door, request)
        found = self._credentials
        if found is None:
            found, self._project = google.auth.default(scopes=[_SCOPE], request=ask)
        self._credentials = None  # where it is refused, the files are read again
        found.refresh(ask)
        self._credentials = found
        left = _HOUR
        if found.expiry is not None:
            left = (found.expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
        now, early = self._moment(), min(_EARLY, left / 2)
        quota = found.quota_project_id
        return Token(Masked(found.token), now + left - early, now + left, self._project, quota)


class _Through:
    """Makes requests by the ``door``; google-auth mounts certificates of its own on ``session``."""

    def __init__(self, door: Door, request: Any) -> None:  # noqa: ANN401  of an extra
        self.session = request.session
        self._door = door
        self._request = request

    def __call__(self, url: str, *given: object, **more: object) -> object:
        asked = {"timeout": _ASKING, **more, "proxies": self._door.proxies(url)}
        return self._request(url, *given, **asked)


def _brief(error: Exception) -> str:
    said = error.args[0] if error.args else error
    return reading.clean(str(said)).rstrip(" .;") or type(error).__name__


_known: dict[tuple[int, str | None, Door], Tokens] = {}


def _here(door: Door) -> Tokens:
    """Those of this process (a child has its own) and of the key file that is named now."""
    slot = (os.getpid(), os.environ.get(_FILE), door)
    known = _known.get(slot)
    return _known.setdefault(slot, Tokens(door=door)) if known is None else known
