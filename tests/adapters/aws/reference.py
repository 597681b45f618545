"""AWS's own signature of a request as it was sent, by botocore."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.model import AwsKeys


def signature(
    method: str,
    url: str,
    sent: Mapping[str, str],
    body: bytes,
    *,
    keys: AwsKeys,
    region: str,
    service: str,
    now: float,
) -> str:
    """The header ``Authorization`` that botocore makes of the headers that ours says it signed."""
    low = {name.lower(): value for name, value in sent.items()}
    found = re.search("SignedHeaders=([^,]+),", low["authorization"])
    assert found is not None
    named = found[1].split(";")
    needed = {"host", "content-type", "x-amz-date", "x-amz-content-sha256"}
    assert needed | ({"x-amz-security-token"} if keys.session_token else set()) <= set(named)
    # botocore believes the header, if there is one.
    assert low["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    request = AWSRequest(method, url, {name: low[name] for name in named}, body)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    assert low["x-amz-date"] == stamp
    request.context["timestamp"] = stamp
    token = keys.session_token
    theirs = SigV4Auth(
        Credentials(
            keys.access_key_id,
            keys.secret_access_key.reveal(),
            None if token is None else token.reveal(),
        ),
        service,
        region,
    )
    canonical = theirs.canonical_request(request)
    signed = theirs.signature(theirs.string_to_sign(request, canonical), request)
    names = theirs.signed_headers(theirs.headers_to_sign(request))
    assert names == found[1]
    return (
        f"AWS4-HMAC-SHA256 Credential={theirs.scope(request)},"
        f" SignedHeaders={names}, Signature={signed}"
    )
