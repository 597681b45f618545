"""How Ollama's own chat API is written, after its reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import orjson

from headrace.testing.server.dialects.base import Asked, Dialect, Said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.testing.seen import Headers
    from headrace.testing.windows import Level


class Ollama(Dialect):
    """Chat: streamed, unless ``stream`` is false."""

    name = "ollama"

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; the bound stands among the options."""
        asked = super().read(body, target)
        data = orjson.loads(body)
        bound = (data.get("options") or {}).get("num_predict")
        return asked._replace(max_tokens=bound, stream=data.get("stream", True))

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A chat response; spans are nanoseconds."""
        del n
        return {
            "model": asked.model,
            "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": said.text},
            "done": True,
            "done_reason": "length" if said.is_cut else "stop",
            "total_duration": 3_000_000,
            "load_duration": 1_000_000,
            "prompt_eval_count": asked.input_tokens,
            "prompt_eval_duration": 1_000_000,
            "eval_count": said.output_tokens,
            "eval_duration": 1_000_000,
        }

    def error(self, status: int, message: str) -> dict[str, object]:
        """A text."""
        del status
        return {"error": message}

    def key(self, headers: Mapping[str, str]) -> str | None:
        """The bearer token, which its cloud wants."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        return key if kind.lower() == "bearer" and key else None

    def charge(self, asked: Asked, said: Said) -> int:
        """What was really used."""
        return asked.input_tokens + said.output_tokens

    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """None."""
        del levels
        return ()

    def hint_headers(self, seconds: float) -> Headers:
        """``retry-after`` in whole seconds, as its cloud sends it."""
        return (("retry-after", str(math.ceil(seconds))),)
