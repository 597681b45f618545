"""How Anthropic's Messages are written, after their reference."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import orjson

from headrace.testing.server.dialects.base import Asked, Dialect, Said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.testing.seen import Headers
    from headrace.testing.windows import Level


class Anthropic(Dialect):
    """Messages."""

    name = "anthropic"

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A ``message`` object."""
        return {
            "id": f"msg_{n:024x}",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": [{"type": "text", "text": said.text}],
            "stop_reason": "max_tokens" if said.is_cut else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": asked.input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": said.output_tokens,
            },
        }

    def error(self, status: int, message: str) -> dict[str, object]:
        """An object of type ``error``."""
        kind = _ANTHROPIC_ERRORS.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}

    def key(self, headers: Mapping[str, str]) -> str | None:
        """The ``x-api-key``."""
        return headers.get("x-api-key") or None

    def charge(self, asked: Asked, said: Said) -> int:
        """What was really used: a declared bound does not count."""
        return asked.input_tokens + said.output_tokens

    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """``anthropic-ratelimit-…-{limit,remaining,reset}``; the reset as an RFC 3339 time."""
        now = datetime.now(UTC)
        return tuple(
            (f"anthropic-ratelimit-{what}-{field}", value)
            for what, level in levels.items()
            for field, value in (
                ("limit", f"{level.limit:.0f}"),
                ("remaining", f"{level.remaining:.0f}"),
                ("reset", _rfc3339(now, level.reset)),
            )
        )

    def account_headers(self, account: str) -> Headers:
        """``anthropic-organization-id``."""
        return (("anthropic-organization-id", account),)

    def hint_headers(self, seconds: float) -> Headers:
        """``retry-after`` in whole seconds."""
        return (("retry-after", str(math.ceil(seconds))),)


class AnthropicOnVertex(Anthropic):
    """Messages, with the model in the path and the version in the body."""

    def read(self, body: bytes, path: str) -> Asked:
        """Read a request."""
        data = orjson.loads(body)
        if not isinstance(data, dict) or "model" in data or "anthropic_version" not in data:
            msg = "anthropic_version: it is required, and the model stands in the path"
            raise ValueError(msg)
        model = path.rpartition("/")[2].partition(":")[0]
        return super().read(orjson.dumps({**data, "model": model}), path)

    def key(self, headers: Mapping[str, str]) -> str | None:
        """The bearer token."""
        return headers.get("authorization", "").partition("Bearer ")[2] or None


_ANTHROPIC_ERRORS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _rfc3339(now: datetime, seconds: float) -> str:
    return (now + timedelta(seconds=math.ceil(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")
