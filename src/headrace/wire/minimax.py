"""MiniMax's own errors: codes in ``base_resp`` of a reply with status 200, that has no choices.

Codes: platform.minimax.io/docs/api-reference/errorcode, read in November 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.wire import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES: Final = {
    1002: "rate_limit_error",
    1004: "authentication_error",
    1008: "insufficient_balance",
    1026: "content_filter",
    1027: "content_filter",
    1039: "rate_limit_error",
    2013: "invalid_request_error",
    2049: "authentication_error",
}


def error(data: Mapping[str, object]) -> dict[str, object] | None:
    """The same as other servers write it; None for a reply that has none."""
    said = reading.block(data.get("base_resp"))
    code = said.get("status_code")
    if type(code) is not int or not code or data.get("choices"):
        return None
    named = _TYPES.get(code, "api_error")
    return {"error": {"type": named, "message": said.get("status_msg"), "code": code}}
