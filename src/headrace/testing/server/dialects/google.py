"""How Gemini's generateContent is written, after its reference."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import orjson

from headrace.testing.server.dialects.base import (
    SERVER_ERROR,
    Asked,
    Dialect,
    Said,
    measure,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.testing.seen import Headers
    from headrace.testing.windows import Level


class Gemini(Dialect):
    """generateContent."""

    name = "gemini"

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; the model stands in the path, as does whether it is a stream."""
        data = orjson.loads(body)
        turns = data.get("contents") if isinstance(data, dict) else None
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            msg = "contents: a list of content objects is required"
            raise ValueError(msg)
        messages = [{"role": turn.get("role"), "content": turn.get("parts")} for turn in turns]
        prompt, words = measure(messages)
        words += len(words_of((data.get("systemInstruction") or {}).get("parts")).split())
        bound = (data.get("generationConfig") or {}).get("maxOutputTokens")
        path = _GEMINI_PATH.search(target)
        if path is None:
            msg = "alt=sse: this server streams server-sent events only"
            raise ValueError(msg)
        return Asked(path["model"], prompt, words, bound, stream=path["stream"] is not None)

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A ``GenerateContentResponse``."""
        candidate = {
            "index": 0,
            "content": {"role": "model", "parts": [{"text": said.text}]},
            "finishReason": "MAX_TOKENS" if said.is_cut else "STOP",
        }
        return {
            "responseId": f"{n:024x}",
            "modelVersion": asked.model,
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": asked.input_tokens,
                "candidatesTokenCount": said.output_tokens,
                "totalTokenCount": asked.input_tokens + said.output_tokens,
            },
        }

    def error(self, status: int, message: str) -> dict[str, object]:
        """An ``error`` object with code, message and status."""
        other = "INVALID_ARGUMENT" if status < SERVER_ERROR else "INTERNAL"
        kind = _GEMINI_ERRORS.get(status, other)
        return {"error": {"code": status, "message": message, "status": kind}}

    def key(self, headers: Mapping[str, str]) -> str | None:
        """The ``x-goog-api-key``, or the bearer token that Vertex wants."""
        _, _, token = headers.get("authorization", "").partition("Bearer ")
        return headers.get("x-goog-api-key") or token or None

    def charge(self, asked: Asked, said: Said) -> int:
        """Input tokens alone are limited."""
        del said
        return asked.input_tokens

    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """None: Gemini does not tell."""
        del levels
        return ()

    def hint_headers(self, seconds: float) -> Headers:
        """``retry-after`` in whole seconds, as its front end sends it."""
        return (("retry-after", str(math.ceil(seconds))),)


_GEMINI_ERRORS: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_GEMINI_PATH: Final = re.compile(
    r"/models/(?P<model>[^:]+)"
    r":(generateContent(\?.*)?|(?P<stream>streamGenerateContent)\?(.*&)?alt=sse(&.*)?)$"
)
