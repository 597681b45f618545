"""Where an endpoint is: its base URL, filled from the environment, the region and the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote, urlsplit

from headrace.core.errors import ConfigError
from headrace.core.model import LOCAL
from headrace.registry import endpoints

if TYPE_CHECKING:
    from headrace.core.model import Endpoint, Model

Environ: TypeAlias = Callable[[str], str | None]
# What request classes add themselves.
_PATHS: Final = ("/chat/completions", "/completions", "/messages", "/responses")
_BLANK: Final = re.compile(r"\{(\w+)\}")
# What may stand inside a URL without changing its host or its path.
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What is known when there is something to sign, or a token: a profile may name the region.
_LATE: Final = {"aws": (), "google": ("host", "project", "location")}
_CLOUDS: Final = {"aws": ("amazonaws.com", "api.aws"), "google": ("googleapis.com",)}
_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_EVERYWHERE: Final = ("0.0.0.0", "[::]")  # noqa: S104 - what a server listens on, and no client asks


def regions(model: Model, row: Endpoint, environ: Environ) -> tuple[str | None, ...]:
    """The regions of ``model``: its own, the environment's, the endpoint's; None: it has none.

    Raises ``ConfigError`` where one is needed and none is given.
    """
    if not any(blank in (row.base_url or "") for blank in ("{region}", "{location}")):
        if not model.regions:
            return (None,)
        msg = f"{model.called}: the endpoint {row.name} has no regions; leave out regions="
        raise ConfigError(msg)
    found = model.regions or _first(row.region_env, environ) or row.regions
    if not found and row.auth in _LATE:
        return (None,)
    if not found:
        names = " or ".join(row.region_env)
        variable = f"set the environment variable {names}, or " if names else ""
        msg = f"{model.called} needs a region; {variable}give regions= on its Model row"
        raise ConfigError(msg)
    for region in found:
        if not _REGION.fullmatch(region) or len(set(found)) < len(found):
            names = "names such as us-east-1, each once"
            msg = f"{model.called}: the regions {found!r} must be {names}"
            raise ConfigError(msg)
    return tuple(found)


def _first(names: tuple[str, ...], environ: Environ) -> tuple[str, ...]:
    return next(((value,) for name in names if (value := environ(name))), ())


def base_url(
    model: Model, row: Endpoint, region: str | None, environ: Environ, *, allow_http: bool
) -> str:
    """The base URL of ``row`` for one region; raises ``ConfigError`` when something is missing."""
    template = row.base_url
    if template is None:
        if row.wire in endpoints.wires() and row.name != LOCAL:
            msg = (
                f"the endpoint {row.name!r} has no address; give its row a base_url, or the client"
            )
            raise ConfigError(f"{msg} one")
        return ""  # started on demand, or a provider of the user's that needs none
    url = fill(template, model, row, environ, region)
    try:
        return check_url(url, allow_http=allow_http)
    except ConfigError as error:
        names = [n for n in _BLANK.findall(template) if n not in {"model", "region"}]
        msg = f"{', '.join(names) or model.id}: {error}"
        raise ConfigError(msg) from None


def fill(
    template: str, model: Model, row: Endpoint, environ: Environ, region: str | None = None
) -> str:
    """``template`` with each ``{blank}`` filled; raises ``ConfigError`` when one is missing."""

    def value(blank: re.Match[str]) -> str:
        name, fallback = blank[1], row.defaults.get(blank[1])
        if name in _LATE.get(row.auth, ()):
            return blank[0]
        if name == "region":
            return "{region}" if region is None else region
        if name == "model":
            return quote(model.name, safe="")
        found = (environ(name) or "").strip() or fallback
        if found is None:
            msg = f"{model.called} needs the environment variable {name}; set it, or pass base_url="
            raise ConfigError(msg)
        if blank.start() == 0:
            return _root(found, fallback, template[blank.end() :])
        if not _WORD.fullmatch(found):
            msg = f"{model.called}: the environment variable {name} holds more than a name; mend it"
            raise ConfigError(msg)
        return found

    return _BLANK.sub(value, template)


def _root(found: str, fallback: str | None, rest: str) -> str:
    """The first part of a URL, as people write it: without scheme or port, or with ``rest``."""
    root = found.rstrip("/").removesuffix(rest)
    usual = urlsplit(fallback or "https://host")
    if "://" not in root:
        place, slash, path = root.partition("/")
        place = f"{usual.hostname}{place}" if place.startswith(":") else place
        has_port = re.search(r":\d+$", place) is not None
        port = "" if has_port or usual.port is None else f":{usual.port}"
        root = f"{usual.scheme}://{place}{port}{slash}{path}"
    for anywhere in _EVERYWHERE:
        root = root.replace(f"://{anywhere}", "://127.0.0.1", 1)
    return root


def is_at(url: str, row: Endpoint) -> bool:
    """Is the host of ``url`` the very one of the row?"""
    return _split(url)[1] == _split(row.base_url or "")[1]


def is_under(url: str, row: Endpoint) -> bool:
    """Is the host of ``url`` one of the vendor's own, or below one?"""
    host = _split(url)[1] or ""
    own = (*row.hosts, _split(row.base_url or "")[1])
    return any(of and f".{host}".endswith(f".{of}") for of in own)


def is_cloud(url: str, auth: str) -> bool:
    """Does the host of ``url`` want the credentials that ``auth`` looks for in the environment?"""
    host = _split(url)[1] or ""
    return any(host.endswith(f".{of}") for of in _CLOUDS.get(auth, ()))


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
