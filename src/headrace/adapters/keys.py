"""Where API keys are read, at the moment of sending, and what keeps them from being shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from headrace.adapters import google_auth
from headrace.core.errors import ConfigError, GoneError
from headrace.core.secret import Secret

if TYPE_CHECKING:
    from headrace.core.model import KeySource, Route

_SHORTEST_SECRET: Final = 16


class Veil:
    """Hides the key where a server quotes it: no journal, cache or error gets to see it.

    Not one as short as a placeholder, since such a word may stand in an honest answer.
    """

    __slots__ = ("_bytes", "_text")

    def __init__(self, key: str | None) -> None:
        self._text = key if key is not None and len(key) >= _SHORTEST_SECRET else None
        self._bytes = None if self._text is None else self._text.encode()

    def over(self, body: bytes) -> bytes:
        """``body`` with asterisks in the place of the key."""
        if self._bytes is None or self._bytes not in body:
            return body
        return body.replace(self._bytes, b"********")

    def over_headers(self, kept: dict[str, str]) -> dict[str, str]:
        """The same for a reply's headers."""
        if self._text is None or not any(self._text in value for value in kept.values()):
            return kept
        return {name: self.over_text(value) for name, value in kept.items()}

    def over_text(self, said: str) -> str:
        """``said`` with asterisks in the place of the key."""
        return said if self._text is None else said.replace(self._text, "********")


class Masked(str):
    """A header's value that tracebacks with local variables do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


def reveal(source: KeySource) -> str | None:
    """The key itself, or None where a source names nothing."""
    if source.secret is not None:
        return source.secret.reveal()
    return os.environ.get(source.env) if source.env else None


def require(route: Route) -> str:
    """The key for ``route``; an environment that lost it mid-run closes the route."""
    try:
        return _checked(route)
    except ConfigError as error:
        raise GoneError(error.message) from None


def check(route: Route) -> None:
    """Raise ``ConfigError`` before the first request when a needed key is missing or malformed."""
    if route.endpoint.auth == "none":
        return
    if route.endpoint.auth == "google":
        google_auth.check(route, reveal(route.key))
        return
    _checked(route)


def _checked(route: Route) -> str:
    key = reveal(route.key)
    if not key:
        msg = f"{route.id} needs an API key; {_remedy(route)}"
        raise ConfigError(msg)
    try:
        return Secret(key).reveal()
    except ConfigError as error:
        del key  # a traceback with local variables must not show it
        msg = f"{route.id}: {error}; {_remedy(route)}"
        raise ConfigError(msg) from None


def _remedy(route: Route) -> str:
    if route.key.env:
        return f"set the environment variable {route.key.env} or pass api_key="
    return "pass api_key="
