"""How the APIs write: reads a request and writes answers, errors and limit headers.

Shapes after OpenAI's Chat Completions and Responses, Anthropic's Messages and Gemini's
generateContent references. A token is a word here.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import orjson

from headrace.testing.seen import Answer, DialectName, Headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.testing.server.limits import Level

CREATED: Final = 1_767_225_600
SERVER_ERROR: Final = 500
MESSAGES: Final = {
    400: "The request body could not be read.",
    401: "The API key is missing or wrong.",
    403: "This key has no permission for that.",
    404: "There is nothing at this path.",
    429: "Rate limit reached; please slow down.",
    529: "Overloaded",
}


class Asked(NamedTuple):
    """What matters of a request body. Tokens are words, ``max_tokens`` None when not given."""

    model: str
    prompt: str
    input_tokens: int
    max_tokens: int | None


class Said(NamedTuple):
    """An answer's text, whether ``max_tokens`` cut it, and its words."""

    text: str
    is_cut: bool
    output_tokens: int


class Dialect(ABC):
    """One API."""

    name: ClassVar[DialectName]
    bound_names: ClassVar[tuple[str, ...]] = ("max_tokens",)

    messages_name: ClassVar[str] = "messages"

    def read(self, body: bytes, path: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        del path
        data = orjson.loads(body)
        messages = data.get(self.messages_name) if isinstance(data, dict) else None
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            msg = f"{self.messages_name}: a list of message objects is required"
            raise ValueError(msg)
        model = data.get("model")
        if not isinstance(model, str) or data.get("stream"):
            msg = "model: a name is required, and stream must be false on this server"
            raise ValueError(msg)
        prompt, words = _measure(messages)
        words += len(_text(data.get("system")).split())
        return Asked(model, prompt, words, self._bound(data))

    def _bound(self, data: Mapping[str, object]) -> int | None:
        for name in self.bound_names:
            if isinstance(bound := data.get(name), int):
                return bound
        return None

    @abstractmethod
    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """The body of a good answer; ``n`` makes its id."""

    @abstractmethod
    def error(self, status: int, message: str) -> dict[str, object]:
        """The body of an error."""

    @abstractmethod
    def key(self, headers: Mapping[str, str]) -> str | None:
        """The API key in the headers."""

    @abstractmethod
    def charge(self, asked: Asked, said: Said) -> int:
        """The tokens that count against a limit, by the vendor's rule."""

    @abstractmethod
    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """What is left of the limits, by the vendor's names."""

    @abstractmethod
    def hint_headers(self, seconds: float) -> Headers:
        """How long to wait, by the vendor's names."""

    def refusal(self, status: int, message: str | None = None, headers: Headers = ()) -> Answer:
        """A whole error reply."""
        text = message or MESSAGES.get(status, "Something went wrong on this fake server.")
        return Answer(status, orjson.dumps(self.error(status, text)), headers)


class OpenAI(Dialect):
    """Chat Completions."""

    name = "openai"
    bound_names = ("max_completion_tokens", "max_tokens")

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A ``chat.completion`` object."""
        message = {"role": "assistant", "content": said.text, "refusal": None}
        finish = "length" if said.is_cut else "stop"
        return {
            "id": f"chatcmpl-{n:024x}",
            "object": "chat.completion",
            "created": CREATED,
            "model": asked.model,
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
            ],
            "usage": {
                "prompt_tokens": asked.input_tokens,
                "completion_tokens": said.output_tokens,
                "total_tokens": asked.input_tokens + said.output_tokens,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        }

    def error(self, status: int, message: str) -> dict[str, object]:
        """An ``error`` object with message, type, param and code."""
        other = "invalid_request_error" if status < SERVER_ERROR else "server_error"
        kind, code = _OPENAI_ERRORS.get(status, (other, None))
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def key(self, headers: Mapping[str, str]) -> str | None:
        """The bearer token."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        return key if kind.lower() == "bearer" and key else None

    def charge(self, asked: Asked, said: Said) -> int:
        """Input and the declared bound, or what was really said where none is declared."""
        bound = said.output_tokens if asked.max_tokens is None else asked.max_tokens
        return asked.input_tokens + bound

    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """``x-ratelimit-{limit,remaining,reset}-…``; the reset as a Go duration."""
        return tuple(
            (f"x-ratelimit-{field}-{what}", value)
            for what, level in levels.items()
            for field, value in (
                ("limit", f"{level.limit:.0f}"),
                ("remaining", f"{level.remaining:.0f}"),
                ("reset", go_duration(level.reset)),
            )
        )

    def hint_headers(self, seconds: float) -> Headers:
        """``retry-after-ms`` exactly and ``retry-after`` in whole seconds."""
        millis = math.ceil(seconds * 1000)
        return (
            ("retry-after-ms", str(millis)),
            ("retry-after", str(math.ceil(millis / 1000))),
        )


class Responses(OpenAI):
    """OpenAI's newer API, with the errors and headers of the older one."""

    name = "openai_responses"
    bound_names = ("max_output_tokens",)
    messages_name = "input"

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A ``response`` object."""
        content = {"type": "output_text", "text": said.text, "annotations": []}
        status = "incomplete" if said.is_cut else "completed"
        return {
            "id": f"resp_{n:024x}",
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if said.is_cut else None,
            "model": asked.model,
            "output": [
                {
                    "type": "message",
                    "id": f"msg_{n:024x}",
                    "role": "assistant",
                    "status": status,
                    "content": [content],
                }
            ],
            "usage": {
                "input_tokens": asked.input_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": said.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": asked.input_tokens + said.output_tokens,
            },
        }


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

    def hint_headers(self, seconds: float) -> Headers:
        """``retry-after`` in whole seconds."""
        return (("retry-after", str(math.ceil(seconds))),)


class Gemini(Dialect):
    """generateContent."""

    name = "gemini"

    def read(self, body: bytes, path: str) -> Asked:
        """Read a request; the model stands in the path."""
        data = orjson.loads(body)
        turns = data.get("contents") if isinstance(data, dict) else None
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            msg = "contents: a list of content objects is required"
            raise ValueError(msg)
        messages = [{"role": turn.get("role"), "content": turn.get("parts")} for turn in turns]
        prompt, words = _measure(messages)
        words += len(_text((data.get("systemInstruction") or {}).get("parts")).split())
        bound = (data.get("generationConfig") or {}).get("maxOutputTokens")
        return Asked(_GEMINI_PATH.findall(path)[-1], prompt, words, bound)

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
        """The ``x-goog-api-key``."""
        return headers.get("x-goog-api-key") or None

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


_OPENAI_ERRORS: Final[dict[int, tuple[str, str | None]]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "not_found"),
    413: ("invalid_request_error", "request_too_large"),
    422: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
}
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
_GEMINI_ERRORS: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_GEMINI_PATH: Final = re.compile(r"/models/([^:]+):generateContent$")
_OPENAI: Final = OpenAI()
_ENDS: Final[tuple[tuple[str, Dialect], ...]] = (
    ("/chat/completions", _OPENAI),
    ("/v1/messages", Anthropic()),
    ("/responses", Responses()),
    (":generateContent", Gemini()),
)


def of_path(path: str) -> Dialect | None:
    """Whose endpoint a path is; None where it is nobody's."""
    return next((dialect for end, dialect in _ENDS if path.endswith(end)), None)


def nobody() -> Dialect:
    """Whose errors stand where a path is nobody's."""
    return _OPENAI


def say(text: str, max_tokens: int | None) -> Said:
    """A text cut to so many words."""
    words = text.split()
    if max_tokens is None or len(words) <= max_tokens:
        return Said(text, is_cut=False, output_tokens=len(words))
    return Said(" ".join(words[:max_tokens]), is_cut=True, output_tokens=max_tokens)


def go_duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``12ms``, ``1.5s``, ``6m0s``, ``1h2m3s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    hours, minutes = divmod(int(minutes), 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{round(rest, 3):g}s"


def _rfc3339(now: datetime, seconds: float) -> str:
    return (now + timedelta(seconds=math.ceil(seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")


def _measure(messages: list[dict[str, object]]) -> tuple[str, int]:
    """The text of the last user message, and the words of all messages."""
    prompt, words = "", 0
    for message in messages:
        text = _text(message.get("content"))
        words += len(text.split())
        if message.get("role") == "user":
            prompt = text
    return prompt, words


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(_texts(content)) if isinstance(content, list) else ""


def _texts(parts: list[object]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, dict) and isinstance(text := part.get("text"), str):
            yield text
