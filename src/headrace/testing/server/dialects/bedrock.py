"""How Bedrock's Converse is written, after botocore's model of it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote

import orjson

from headrace.testing.server.dialects.anthropic import Anthropic
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

    from headrace.testing.seen import Answer, DialectName, Headers
    from headrace.testing.windows import Level


class Bedrock(Dialect):
    """Converse."""

    name: ClassVar[DialectName] = "bedrock"

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; the model stands in the path, as does whether it is a stream."""
        data = orjson.loads(body)
        turns = data.get("messages") if isinstance(data, dict) else None
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            msg = "messages: a list of message objects is required"
            raise ValueError(msg)
        prompt, words = measure(turns)
        words += len(words_of(data.get("system")).split())
        bound = (data.get("inferenceConfig") or {}).get("maxTokens")
        is_stream = target.endswith("-stream")
        return Asked(model_of(target), prompt, words, bound, stream=is_stream)

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A ``ConverseResponse``."""
        del n
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": said.text}]}},
            "stopReason": "max_tokens" if said.is_cut else "end_turn",
            "usage": {
                "inputTokens": asked.input_tokens,
                "outputTokens": said.output_tokens,
                "totalTokens": asked.input_tokens + said.output_tokens,
            },
            "metrics": {"latencyMs": 1},
        }

    def error(self, status: int, message: str) -> dict[str, object]:
        """A ``message`` alone: which exception it is stands in a header."""
        del status
        return {"message": message}

    def refusal(self, status: int, message: str | None = None, headers: Headers = ()) -> Answer:
        """A whole error reply, with the name of the exception."""
        other = "ValidationException" if status < SERVER_ERROR else "InternalServerException"
        named = ("x-amzn-errortype", f"{_EXCEPTIONS.get(status, other)}:")
        return super().refusal(status, message, (*headers, named))

    def key(self, headers: Mapping[str, str]) -> str | None:
        """The bearer token; a request that is signed has none."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        return key if kind.lower() == "bearer" and key else None

    def charge(self, asked: Asked, said: Said) -> int:
        """Input and the declared bound, or what was really said where none is declared."""
        bound = said.output_tokens if asked.max_tokens is None else asked.max_tokens
        return asked.input_tokens + bound

    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """None: Bedrock does not tell."""
        del levels
        return ()

    def hint_headers(self, seconds: float) -> Headers:
        """``retry-after`` in whole seconds, which Bedrock itself does not send."""
        return (("retry-after", str(math.ceil(seconds))),)


class BedrockAnthropic(Bedrock):
    """InvokeModel of Claude."""

    name = "bedrock_anthropic"

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; the model stands in the path, as does whether it is a stream."""
        data = orjson.loads(body)
        if not isinstance(data, dict) or "model" in data or "anthropic_version" not in data:
            msg = "anthropic_version: it is required, and a model stands in the path alone"
            raise ValueError(msg)
        is_stream = target.endswith("-stream")
        asked = {**data, "model": model_of(target), "stream": is_stream}
        return _CLAUDE.read(orjson.dumps(asked), target)

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A ``message`` object."""
        return _CLAUDE.answer(asked, said, n)

    def bill_headers(self, asked: Asked) -> Headers:
        """The tokens that came in; some models tell them nowhere else."""
        return (("x-amzn-bedrock-input-token-count", str(asked.input_tokens)),)


def model_of(path: str) -> str:
    """The model in a path, as it was before it was quoted."""
    return unquote(_PATH.findall(path)[-1])


_CLAUDE: Final = Anthropic()
_EXCEPTIONS: Final = {
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_PATH: Final = re.compile(r"([^/]+)/[^/]+$")
