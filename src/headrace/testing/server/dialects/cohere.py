"""How Cohere's chat API is written, after its reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headrace.testing.server.dialects.base import Asked, Dialect, Said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.testing.seen import Headers
    from headrace.testing.windows import Level


class Cohere(Dialect):
    """Version 2 of chat."""

    name = "cohere"

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A chat response."""
        counts = {"input_tokens": asked.input_tokens, "output_tokens": said.output_tokens}
        return {
            "id": f"{n:032x}",
            "finish_reason": "MAX_TOKENS" if said.is_cut else "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": said.text}]},
            "usage": {"billed_units": counts, "tokens": counts},
        }

    def error(self, status: int, message: str) -> dict[str, object]:
        """A flat object."""
        del status
        return {"id": "0" * 32, "message": message}

    def key(self, headers: Mapping[str, str]) -> str | None:
        """The bearer token."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        return key if kind.lower() == "bearer" and key else None

    def charge(self, asked: Asked, said: Said) -> int:
        """What was really used."""
        return asked.input_tokens + said.output_tokens

    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """``x-trial-endpoint-call-{limit,remaining}``, as trial keys get them."""
        return tuple(
            (f"x-trial-endpoint-call-{field}", f"{value:.0f}")
            for what, level in levels.items()
            if what == "requests"
            for field, value in (("limit", level.limit), ("remaining", level.remaining))
        )

    def hint_headers(self, seconds: float) -> Headers:
        """``retry-after`` in whole seconds."""
        return (("retry-after", str(math.ceil(seconds))),)
