"""Shared limits in Redis, and the door to redis: one script, one round trip, the server's clock."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pkgutil import get_data
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import orjson

from headrace.adapters.shared.base import PATIENCE
from headrace.core.errors import ConfigError
from headrace.core.secret import Masked, Secret
from headrace.policy import leases
from headrace.policy.leases import Answer, Lease

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from headrace.policy.leases import Message

SCHEMES: Final = ("redis", "rediss", "unix")
PASSWORD: Final = "HEADRACE_REDIS_PASSWORD"  # noqa: S105 - the name of a variable
_CONSTANTS: Final = orjson.dumps(
    {
        "slots": leases.SLOTS,
        "second": leases.SECOND,
        "minute": leases.MINUTE,
        "life": leases.LIFE,
        "ahead": leases.AHEAD,
        "jitter": leases.JITTER,
        "grace": leases.GRACE,
        "again": leases.AGAIN,
        "longest": leases.LONGEST,
        "stumble": leases.STUMBLE,
    }
)
_FORM: Final = (
    "shared_limits must look like redis://host:6379/0, rediss://host:6379/0 or unix:///path, with"
    " each of @ : / ? # in a name and password as %40 %3A %2F %3F %23"
)


class _Client(Protocol):
    def close(self) -> None: ...


class RedisLimits:
    """Limits that all processes share which use the same Redis server, database and ``name``.

    Redis 5 or later, also Valkey. A password stands in the URL, or in ``HEADRACE_REDIS_PASSWORD``,
    which is read when a connection is made. Raises ``ConfigError`` for a URL that is none, and
    where the extra ``redis`` is not installed.
    """

    def __init__(self, url: str, *, name: str = "headrace") -> None:
        """``name``: whoever uses another one shares nothing with these."""
        self._name, self._shown = name, "********"
        try:
            self._url = Secret(url)
            self._shown = _shown(Masked(url))
        except ValueError:
            raise ConfigError(_FORM) from None
        finally:
            del url  # or tracebacks with local variables would show it
        if not isinstance(name, str) or not name or set(name) & set("{}"):
            raise ConfigError("the name of shared limits must be a text without { and }")
        self._client: _Client | None = None
        self._script: Callable[..., bytes] | None = None
        _library()

    def __repr__(self) -> str:
        return f"RedisLimits({self._shown!r}, name={self._name!r})"

    def __str__(self) -> str:
        return f"the shared limits at {self._shown}"

    def __reduce__(self) -> tuple[object, ...]:
        if self._has_password:
            msg = f"a Redis URL with a password cannot be pickled; put it into {PASSWORD}"
            raise TypeError(msg)
        return (_again, (self._url.reveal(), self._name))

    async def exchange(self, message: Message) -> Answer:
        """One step, off the event loop."""
        return await asyncio.to_thread(self.step, message)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    def step(self, message: Message, now: int | None = None) -> Answer:
        """One step in this thread; ``now`` stands for the server's clock, in tests alone."""
        library = _library()
        try:
            if self._script is None:
                self._script = self._connected(library)
            said = self._script(*_sent(self._name, message, now))
        except (library.RedisError, OSError, ValueError) as error:
            why = self._without_password(str(error) or type(error).__name__)
            lost = f"{self} cannot be reached ({why.rstrip('.')})"
            raise ConnectionError(f"{lost}; see that it runs, or correct its URL") from None
        return _read(message, said)

    def _connected(self, library: ModuleType) -> Callable[..., bytes]:
        options: dict[str, object] = {}
        if (password := os.environ.get(PASSWORD)) and not self._has_password:
            options["password"] = Masked(password)
        client = self._client = library.Redis.from_url(
            self._url.reveal(),
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            # A step that was taken, though nobody heard so, must not be taken twice.
            retry=library.retry.Retry(library.backoff.NoBackoff(), 0),
            **options,
        )
        script: Callable[..., bytes] = client.register_script(get_data(__package__, "limits.lua"))
        return script

    @property
    def _has_password(self) -> bool:
        url = self._url.reveal()
        return "@" in url or "password=" in url

    def _without_password(self, said: str) -> str:
        for secret in (urlsplit(self._url.reveal()).password, os.environ.get(PASSWORD)):
            if secret:
                said = said.replace(secret, "********")
        return said


def _again(url: str, name: str) -> RedisLimits:
    return RedisLimits(url, name=name)


def _library() -> ModuleType:
    try:
        import redis  # noqa: PLC0415  an extra, at its one door
    except ImportError:
        msg = 'shared limits in Redis need the extra redis; pip install "headrace[redis]"'
        raise ConfigError(msg) from None
    library: ModuleType = redis
    return library


def _shown(url: str) -> str:
    """The URL without user name, password and options; ``ValueError``: it is none."""
    parts = urlsplit(url)
    place = parts.path if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in SCHEMES or not place or parts.fragment:
        raise ValueError
    _ = parts.port
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _sent(name: str, message: Message, now: int | None) -> tuple[list[str], list[bytes | int]]:
    """Keys and arguments of the script; the braces keep the keys on one node of a cluster."""
    keys = [f"{{{name}}}:scope:{scope}" for scope in message.scopes]
    body = {
        "member": message.member,
        "scopes": [[asdict(ask) for ask in asks] for asks in message.scopes.values()],
        "quiet": dict(message.quiet),
    }
    arguments: list[bytes | int] = [orjson.dumps(body), _CONSTANTS]
    return [*keys, f"{{{name}}}:quiet"], arguments if now is None else [*arguments, now]


def _read(message: Message, said: bytes) -> Answer:
    given, marks = orjson.loads(said)
    quiet = dict(zip(marks[::2], map(int, marks[1::2]), strict=True)) if marks else {}
    return Answer(
        {scope: _lease(one) for scope, one in zip(message.scopes, given or (), strict=True)}, quiet
    )


def _lease(said: list[str]) -> Lease:
    wait, delay, *rest = map(int, said)
    return Lease(wait, delay, tuple(rest[::2]), tuple(rest[1::2]))
