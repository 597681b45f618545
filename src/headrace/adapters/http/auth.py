"""With which credentials an attempt goes, and whether a refusal was of those that hold by now.

Three kinds, one way: a key in a header is put there by the transport, Google's token stands in for
a key while it holds, and a request to AWS is signed over its own bytes and time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp.client import URL  # type: ignore[attr-defined]  # yarl's, as aiohttp itself has it

from headrace.adapters import google_auth, keys
from headrace.adapters.aws import credentials, signing
from headrace.core.errors import HeldBackError
from headrace.core.secret import Masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.client_reqrep import ClientResponse

    from headrace.adapters.aws.skew import Skew
    from headrace.core.model import Route

    Headers = tuple[tuple[str, str], ...]

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_REFUSALS: Final = frozenset({_UNAUTHORIZED, _FORBIDDEN})


def has_tokens(route: Route) -> bool:
    """Is it a token of the moment that it is asked with?"""
    return route.endpoint.auth == "google"


async def admitted(route: Route, headers: Headers, door: google_auth.Door) -> tuple[Route, Headers]:
    """``route`` as it is asked now: with Google's token of the moment, where it takes one.

    Raises ``GoneError`` where no token is to be had, ``NotSentError`` where nobody could be asked.
    """
    if not has_tokens(route):
        return route, headers
    ready, more = await google_auth.admitted(route, keys.require(route), door)
    return ready, (*more, *headers)


def signed(
    route: Route, method: str, path: str, headers: Mapping[str, str], body: bytes, *, now: float
) -> tuple[URL, dict[str, str], keys.Veil, str]:
    """URL and headers to send to AWS, what hides the key in the reply, and the base URL.

    ``now`` in seconds since the epoch. Raises ``GoneError`` where credentials or region are missing
    or malformed by now.
    """
    by = credentials.require(route)
    url = by.base_url + path + route.query
    service = route.endpoint.service or "bedrock"
    ready = signing.authorized(method, url, headers, body, by=by, service=service, now=now)
    # As it was signed: in a URL that is parsed, %3A would become a colon.
    return URL(url, encoded=True), ready, keys.Veil(by.sent), by.base_url


def header(route: Route, key: Masked) -> tuple[str, Masked]:
    """The name of the header that holds ``key``, and its value."""
    auth = route.endpoint.auth
    return ("Authorization", Masked(f"Bearer {key}")) if auth == "bearer" else (auth, key)


def check_current(
    route: Route, refusal: ClientResponse, sent: Mapping[str, str], door: google_auth.Door
) -> None:
    """Raise ``HeldBackError`` when what was refused has been renewed while it was on its way."""
    if refusal.status in _REFUSALS and _is_renewed(route, refusal.status, sent, door):
        refusal.close()
        msg = "the credentials were renewed while the request was on its way"
        raise HeldBackError(msg)


def check_clock(
    route: Route, refusal: ClientResponse, sent: Mapping[str, str], skew: Skew, *, now: float
) -> None:
    """Raise ``HeldBackError`` when the refusal is for the time of a signature, and is learned."""
    if route.endpoint.auth != "aws" or refusal.status != _FORBIDDEN:
        return
    if skew.is_to_blame(refusal.headers.get("Date"), sent, now):
        refusal.close()
        msg = "this machine's clock is off, and the request is signed anew for AWS's time"
        raise HeldBackError(msg)


def _is_renewed(route: Route, status: int, sent: Mapping[str, str], door: google_auth.Door) -> bool:
    match route.endpoint.auth:
        case "aws":
            return credentials.is_renewed(route, sent["Authorization"])
        case "google":
            is_refused = status == _UNAUTHORIZED
            return is_refused and google_auth.is_renewed(
                sent["Authorization"], keys.reveal(route.key), door
            )
        case "none":
            return False
    if not (key := keys.reveal(route.key)):
        return False
    name, value = header(route, key)
    return sent.get(name) != value
