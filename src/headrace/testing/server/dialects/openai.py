"""How OpenAI writes: Chat Completions and Responses, after their references."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

from headrace.testing.server.dialects.base import SERVER_ERROR, Asked, Dialect, Said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.testing.seen import DialectName, Headers
    from headrace.testing.windows import Level

CREATED: Final = 1_767_225_600


class OpenAI(Dialect):
    """Chat Completions."""

    name: ClassVar[DialectName] = "openai"
    bound_names: ClassVar[tuple[str, ...]] = ("max_completion_tokens", "max_tokens")

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
        """The bearer token, or Azure's ``api-key``."""
        kind, _, key = headers.get("authorization", "").partition(" ")
        return key if kind.lower() == "bearer" and key else headers.get("api-key")

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

    def account_headers(self, account: str) -> Headers:
        """``openai-organization``."""
        return (("openai-organization", account),)

    def hint_headers(self, seconds: float) -> Headers:
        """``retry-after-ms`` exactly and ``retry-after`` in whole seconds."""
        millis = math.ceil(seconds * 1000)
        return (
            ("retry-after-ms", str(millis)),
            ("retry-after", str(math.ceil(millis / 1000))),
        )


class Responses(OpenAI):
    """OpenAI's newer API, with the errors and headers of the older one."""

    name: ClassVar[DialectName] = "openai_responses"
    bound_names: ClassVar[tuple[str, ...]] = ("max_output_tokens",)
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


_OPENAI_ERRORS: Final[dict[int, tuple[str, str | None]]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "not_found"),
    413: ("invalid_request_error", "request_too_large"),
    422: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
}


def go_duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``12ms``, ``1.5s``, ``6m0s``, ``1h2m3s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    hours, minutes = divmod(int(minutes), 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{round(rest, 3):g}s"
