"""From what a caller writes ("openai/gpt-4.1-mini") to the route that leads there."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from headrace.core.errors import ConfigError
from headrace.core.model import Endpoint, KeySource, Model, Route
from headrace.core.secret import Secret
from headrace.registry import endpoints

# What request classes add themselves.
_PATHS: Final = ("/chat/completions", "/completions", "/messages", "/responses")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the caller says that an endpoint is, if not where its row says."""

    base_url: str | None = None
    api_key: Secret | None = None
    allow_http: bool = False

    @property
    def is_special(self) -> bool:
        """Is anything said about one endpoint in particular?"""
        return self.base_url is not None or self.api_key is not None

    def elsewhere(self) -> Place:
        """The same for another endpoint, which gets neither the address nor the key of this one."""
        return Place(allow_http=self.allow_http)


def model_row(spec: object) -> Model:
    """A row from a name or a row; raises ``ConfigError`` with the form that is expected."""
    if isinstance(spec, Model):
        row = spec
    elif isinstance(spec, str):
        row = Model(id=spec)
    else:
        msg = f'a model is "endpoint/model" or a Model, not {type(spec).__name__}'
        raise ConfigError(msg)
    if not row.endpoint or not row.name or not row.id.isprintable() or row.id != row.id.strip():
        msg = (
            f'the model {row.id!r} must have the form "endpoint/model",'
            ' such as "openai/gpt-4.1-mini"'
        )
        raise ConfigError(msg)
    return row


def route(model: Model, place: Place) -> Route:
    """The route to ``model``; raises ``ConfigError`` when there is no such endpoint."""
    rows = endpoints.known()
    row = rows.get(model.endpoint)
    if row is None:
        msg = (
            f"the endpoint {model.endpoint!r} of {model.id!r} is not known ({', '.join(rows)} are);"
            ' for a compatible server use "openai/NAME" with base_url='
        )
        raise ConfigError(msg)
    if place.base_url is None:
        if row.models is not None and model.name not in row.models:
            there = ", ".join(f"{row.name}/{name}" for name in row.models)
            msg = f"there is no model {model.id!r}; use {there}"
            raise ConfigError(msg)
        source = KeySource(env=row.key_env, secret=place.api_key)
        return Route(model, row, row.base_url or "", source)
    return _elsewhere(model, row, place)


def _elsewhere(model: Model, row: Endpoint, place: Place) -> Route:
    """A server that speaks like ``row`` at another address; it never gets ``row``'s own key."""
    base_url = check_url(place.base_url or "", allow_http=place.allow_http)
    if row.wire == "anthropic":
        base_url = base_url.removesuffix("/v1")
    # Residency hosts of a vendor (eu.api.openai.com) are no other servers; they get no key either.
    is_own = _is_under(base_url, row.base_url)
    bound = row.max_tokens_field if is_own else "max_tokens"
    auth = row.auth if place.api_key is not None else "none"
    if place.api_key is not None and auth == "none":
        auth = "bearer"
    own = {"base_url": base_url, "auth": auth, "max_tokens_field": bound, "price": None}
    if urlsplit(base_url).hostname != urlsplit(row.base_url or "").hostname:
        own["prices"] = ""  # another server has other models and prices, and so may a residency
    here = row.model_copy(update=own)
    return Route(model, here, base_url, KeySource(secret=place.api_key))


def _is_under(url: str, other: str | None) -> bool:
    """Is the host of ``url`` that of ``other``, or one below it?"""
    host, of = urlsplit(url).hostname or "", urlsplit(other or "").hostname
    return of is not None and f".{host}".endswith(f".{of}")


def check_url(url: str, *, allow_http: bool) -> str:
    """A usable base URL without its trailing slash; raises ``ConfigError`` otherwise."""
    # First, so that no other sentence shows a password.
    if not isinstance(url, str) or any(mark in url for mark in "@?#"):
        msg = (
            "base_url must be a string without user name, password, query or fragment;"
            " pass the key as api_key="
        )
        raise ConfigError(msg)
    scheme, host = _split(url)
    if scheme not in {"http", "https"} or not host:
        msg = f"base_url {url!r} must look like https://host/v1 or http://127.0.0.1:8080/v1"
        raise ConfigError(msg)
    if (end := next((p for p in _PATHS if url.rstrip("/").endswith(p)), None)) is not None:
        msg = f"base_url {url!r} goes too far; leave out {end}, which is added for each request"
        raise ConfigError(msg)
    if scheme == "http" and not allow_http and not is_loopback(host):
        msg = (
            f"base_url {url!r} would send keys and prompts unencrypted;"
            " use https, or pass allow_http=True"
        )
        raise ConfigError(msg)
    return url.rstrip("/")


def _split(url: str) -> tuple[str, str | None]:
    """Scheme and host; no host where the URL is none, or would have to be quoted."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "", None
    try:
        parts = urlsplit(url)
        _ = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        return "", None
    return parts.scheme, parts.hostname


def is_loopback(host: str) -> bool:
    """Is it this machine, whatever its name servers say?"""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
