"""The exceptions of AWS, by their names in lower case: what they are, and their statuses."""

from __future__ import annotations

from typing import Final

from headrace.core.errors import (
    GoneError,
    OverloadedError,
    ProviderError,
    QuotaError,
    RateLimitError,
)

# Where the status alone would say something else.
NAMED: Final[dict[str, type[ProviderError]]] = {
    "servicequotaexceededexception": QuotaError,
    "accessdeniedexception": GoneError,
    "expiredtokenexception": GoneError,
    "invalidsignatureexception": GoneError,
    "resourcenotfoundexception": GoneError,
    "unrecognizedclientexception": GoneError,
    "modelerrorexception": OverloadedError,  # with 424
    "modelstreamerrorexception": OverloadedError,
    "throttlingexception": RateLimitError,  # with 400, too
}
# For those that come inside a stream.
STATUS_OF: Final = {
    "internalserverexception": 500,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
    "modeltimeoutexception": 408,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "validationexception": 400,
}
