"""Where API keys are read, at the moment of sending, and what keeps them from being shown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from headrace.adapters import google_auth
from headrace.adapters.aws import credentials, signing
from headrace.core.errors import ConfigError, GoneError
from headrace.core.model import AwsKeys
from headrace.core.secret import Masked
from headrace.registry.address import is_loopback

if TYPE_CHECKING:
    from headrace.core.model import KeySource, Route

_SHORTEST_SECRET: Final = 16
_QUOTES: Final = "'\"`"
# What pages about keys show in the place of one.
_PLACEHOLDER: Final = re.compile(
    r"^<.*>$|^\[.*\]$|^\{.*\}$|^\$\w+$|^(\w+-)?(x{4,}|\.{3,}|\*{3,})$|change[-_ ]?me"
    r"|\b(your|insert|enter|replace)[-_ ]?(\w+[-_ ])*(key|token|here)\b|^[a-z]*[-_]?api[-_]?key$",
    re.IGNORECASE | re.ASCII,
)


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

    def over_blocks(self) -> BlockVeil:
        """The same for one body that comes in blocks."""
        return BlockVeil(self._bytes)

    def over_headers(self, kept: dict[str, str]) -> dict[str, str]:
        """The same for a reply's headers."""
        if self._text is None or not any(self._text in value for value in kept.values()):
            return kept
        return {name: self.over_text(value) for name, value in kept.items()}

    def over_text(self, said: str) -> str:
        """``said`` with asterisks in the place of the key."""
        return said if self._text is None else said.replace(self._text, "********")


class BlockVeil:
    """Hides the key in a body that comes in blocks, also where it is cut between two of them.

    What might be the beginning of the key is held back until the next block. A line's end is in no
    key, so that a whole event never waits. Nobody hides a key that is spread over several events:
    a server that quotes it does so in one, and a model never gets to see it.
    """

    __slots__ = ("_held", "_key")

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self._held = b""

    def over(self, block: bytes) -> bytes:
        """What can be shown by now, which may be nothing."""
        key = self._key
        if key is None:
            return block
        shown = (self._held + block).replace(key, b"********")
        at = shown.find(key[:1], max(0, len(shown) - len(key) + 1))
        while at >= 0 and not key.startswith(shown[at:]):
            at = shown.find(key[:1], at + 1)
        self._held = shown[at:] if at >= 0 else b""
        return shown[: len(shown) - len(self._held)]

    def end(self) -> bytes:
        """What was held back, and was no key."""
        held, self._held = self._held, b""
        return held


def reveal(source: KeySource) -> Masked | None:
    """The key itself, or None where a source names nothing that is set."""
    if source.secret is not None:
        return Masked(source.secret.reveal())
    return next((Masked(os.environ[name]) for name in source.env if os.environ.get(name)), None)


def require(route: Route) -> Masked | None:
    """The key for ``route``, None where it goes without; one lost mid-run closes the route."""
    try:
        return _checked(route)
    except ConfigError as error:
        raise GoneError(error.message) from None


def check(route: Route) -> None:
    """Raise ``ConfigError`` before the first request when a needed key is missing or malformed."""
    if route.endpoint.auth == "aws":
        if isinstance(credentials.standing(route).credentials, AwsKeys):
            signing.signer()
    elif route.endpoint.auth == "google":
        google_auth.check(route, _checked(route))
    else:
        _checked(route)


def _checked(route: Route) -> Masked | None:
    if route.endpoint.auth == "none":
        return None
    key = reveal(route.key)
    if not key:
        if not _is_needed(route):
            return None
        msg = f"{route.id} needs an API key; {_remedy(route)}"
        raise ConfigError(msg)
    if (wrong := _malformed(key, is_ours=_is_here(route))) is not None:
        msg = f"{route.id}: the API key {wrong}; {_remedy(route)}"
        raise ConfigError(msg)
    return key


def _is_needed(route: Route) -> bool:
    # Google's own credentials stand in for the usual variable, not for one that a row names.
    is_google = route.endpoint.auth == "google"
    return bool(route.model.key_env) if is_google else route.endpoint.needs_key


def _is_here(route: Route) -> bool:
    """Is it a server on this machine, whose key may be any word?"""
    return is_loopback(urlsplit(route.base_url).hostname or "")


def _malformed(key: str, *, is_ours: bool) -> str | None:
    """What is wrong with a key, in words that do not quote it."""
    if key != key.strip() or not key.isprintable():
        return "has spaces around it, a line break in it, or another character that cannot be sent"
    if not key.isascii():
        return "holds a character that no header may carry"
    if key[0] in _QUOTES and key[-1] in _QUOTES:
        return "has quotation marks around it, which are no part of it"
    is_placeholder = not is_ours and _PLACEHOLDER.search(key) is not None
    return "is a placeholder, and none yet" if is_placeholder else None


def _remedy(route: Route) -> str:
    names = route.key.env
    if not names:
        return "pass api_key="
    return f"set the environment variable {' or '.join(names)} or pass api_key="
