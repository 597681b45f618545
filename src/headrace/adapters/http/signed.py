"""Requests that are signed for AWS, each over its own bytes and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp.client import URL  # type: ignore[attr-defined]  # yarl's, as aiohttp itself has it

from headrace.adapters import keys
from headrace.adapters.aws import credentials, signing
from headrace.core.errors import HeldBackError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.client_reqrep import ClientResponse

    from headrace.core.model import Route

_REFUSALS: Final = frozenset({401, 403})


def prepare(
    route: Route, method: str, path: str, headers: Mapping[str, str], body: bytes, *, now: float
) -> tuple[URL, dict[str, str], keys.Veil, str]:
    """URL and headers to send, what hides the key in the reply, and the base URL.

    ``now`` in seconds since the epoch. Raises ``GoneError`` where credentials or region are missing
    or malformed by now.
    """
    by = credentials.require(route)
    url = by.base_url + path
    service = route.endpoint.service or "bedrock"
    ready = signing.authorized(method, url, headers, body, by=by, service=service, now=now)
    # As it was signed: in a URL that is parsed, %3A would become a colon.
    return URL(url, encoded=True), ready, keys.Veil(by.sent), by.base_url


def check_current(route: Route, refusal: ClientResponse, sent: Mapping[str, str]) -> None:
    """Raise ``HeldBackError`` when what was refused has been renewed while it was on its way."""
    if (
        refusal.status in _REFUSALS
        and route.endpoint.auth == "aws"
        and credentials.is_renewed(route, sent["Authorization"])
    ):
        refusal.close()
        msg = "the credentials were renewed while the request was on its way"
        raise HeldBackError(msg)
