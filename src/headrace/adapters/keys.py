"""Where API keys are read: at the moment of sending, from the environment or from the caller."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace.core.errors import ConfigError, GoneError
from headrace.core.secret import Secret

if TYPE_CHECKING:
    from headrace.core.model import KeySource, Route


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
    _checked(route)


def _checked(route: Route) -> str:
    key = reveal(route.key)
    if not key:
        msg = f"{route.id} needs an API key; {_remedy(route)}"
        raise ConfigError(msg)
    try:
        return Secret(key).reveal()
    except ConfigError as error:
        msg = f"{route.id}: {error}; {_remedy(route)}"
        raise ConfigError(msg) from None


def _remedy(route: Route) -> str:
    if route.key.env:
        return f"set the environment variable {route.key.env} or pass api_key="
    return "pass api_key="
