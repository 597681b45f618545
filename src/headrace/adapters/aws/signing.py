"""Signature Version 4: the door to requests-aws4auth, opened when something is signed.

What is signed is what must be sent: the URL to the letter (AWS quotes a path that is quoted already
once more before it signs it), the host, the content type, every ``x-amz-`` header and the body.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from headrace.core.model import AwsKeys
from headrace.core.secret import Masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests_aws4auth import AWS4Auth

    from headrace.adapters.aws.credentials import Standing

_USUAL_PORT: Final = {"http": 80, "https": 443}
# Others may be changed on the way, and AWS does not ask for them.
_SIGNED: Final = re.compile(r"host|content-type|x-amz-.+")


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: AwsKeys,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """``headers`` with what AWS needs, to be sent as they are with exactly this URL and body.

    ``now`` in seconds since the epoch; AWS takes a request for five minutes around it.
    """
    from requests import PreparedRequest  # noqa: PLC0415 - loaded when there is something to sign
    from requests.structures import CaseInsensitiveDict  # noqa: PLC0415 - comes with the above

    at = datetime.fromtimestamp(now, UTC)
    added = {"Host": _host(url), "x-amz-date": at.strftime("%Y%m%dT%H%M%SZ")}
    given = {n: v for n, v in {**headers, **added}.items() if _SIGNED.fullmatch(n.lower())}
    # Its fields are set one by one, since ``prepare`` would rewrite the URL.
    request = PreparedRequest()
    request.method, request.url, request.body = method, url, body
    request.headers = CaseInsensitiveDict(given)
    token = credentials.session_token
    signer()(
        credentials.access_key_id,
        credentials.secret_access_key.reveal(),
        region,
        service,
        date=at.strftime("%Y%m%d"),
        session_token=None if token is None else token.reveal(),
    )(request)
    kept = {name: value for name, value in headers.items() if name not in request.headers}
    return kept | {name: _masked(name, value) for name, value in request.headers.items()}


def authorized(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    by: Standing,
    service: str,
    now: float,
) -> dict[str, str]:
    """``headers`` of a request with a bearer key, or signed; see ``sign``."""
    found = by.credentials
    if isinstance(found, AwsKeys):
        place = {"region": by.region, "service": service}
        return sign(method, url, headers, body, credentials=found, **place, now=now)
    return {**headers, "Authorization": Masked(f"Bearer {found.reveal()}")}


@cache
def signer() -> type[AWS4Auth]:
    """What signs; the first call loads it, which is asked for before a run and not within it."""
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415 - loaded when there is something to sign

    class Signer(AWS4Auth):  # type: ignore[misc]  # untyped, and a base class
        """Reads blanks in headers as AWS does; the original stumbles over a quotation mark."""

        @staticmethod
        def amz_norm_whitespace(text: str) -> str:
            return " ".join(text.split())

    return Signer


def _host(url: str) -> str:
    """As HTTP wants it: without user, and without the port that goes without saying."""
    parts = urlsplit(url)
    name = parts.netloc.rpartition("@")[2]
    usual = parts.port == _USUAL_PORT.get(parts.scheme)
    return name.rpartition(":")[0] if usual else name


def _masked(name: str, value: str) -> str:
    return Masked(value) if name.lower() in {"authorization", "x-amz-security-token"} else value
