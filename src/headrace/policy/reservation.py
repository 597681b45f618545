"""How many tokens a request is likely to cost, before it is sent.

UTF-8 bytes are the robust basis (about four to a token for prose, fewer for JSON and CJK is three
bytes a character); the difference to the truth is settled from the reply's usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.conversation import Conversation
from headrace.core.media import Image
from headrace.core.operations import Embed
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall, ToolResult

if TYPE_CHECKING:
    from headrace.core.operations import Operation
    from headrace.core.params import SamplingParams
    from headrace.core.parts import Part

BYTES_PER_TOKEN: Final = 4
JSON_BYTES_PER_TEN_TOKENS: Final = 26
PER_MESSAGE: Final = 4
PER_IMAGE: Final = 1_000
UNBOUNDED_OUTPUT: Final = 1_024


def input_tokens(
    prompt: Conversation | Operation,
    params: SamplingParams | None = None,
    schemas: tuple[str, ...] = (),
) -> int:
    """An estimate of the tokens of a prompt, of its ``schemas``, and of tools in ``params``."""
    if not isinstance(prompt, Conversation):
        images = isinstance(prompt, Embed) and isinstance(prompt.input, Image)
        return sum(_text(text) for text in prompt.texts) + PER_IMAGE * images
    tokens = sum(
        PER_MESSAGE + _content(m.content) + (0 if m.name is None else _text(m.name))
        for m in prompt.messages
    )
    if schemas:
        tokens += sum(map(_json, schemas))
    if params is None or params.extra_body is None:
        return tokens
    return tokens + _schemas(params.extra_body.get("tools"))


def is_plain(prompt: Conversation, params: SamplingParams | None) -> bool:
    """Is it text and nothing else, which a tokenizer can count?"""
    if params is not None and params.extra_body and "tools" in params.extra_body:
        return False
    return all(
        message.name is None and all(isinstance(part, Text) for part in message.parts)
        for message in prompt.messages
    )


def output_tokens(declared: int | None, model_maximum: int | None) -> int:
    """The bound on output tokens: what was declared, else the model's maximum up to 1,024."""
    if declared is not None:
        return declared
    return min(model_maximum or UNBOUNDED_OUTPUT, UNBOUNDED_OUTPUT)


def _content(content: str | tuple[Part, ...]) -> int:
    if isinstance(content, str):
        return _text(content)
    return sum(map(_part, content))


def _part(part: Part) -> int:
    match part:
        case Text() | Thinking():
            return _text(part.text)
        case ToolCall():
            return _text(part.name) + _json(part.arguments)
        case ToolResult():
            return _content(part.content)
        case Opaque():
            return _json(part.json)
        case CacheBreakpoint():
            return 0
    return PER_IMAGE


def _json(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size * 10 // JSON_BYTES_PER_TEN_TOKENS)


def _schemas(tools: object) -> int:
    if not tools:
        return 0
    try:
        size = len(orjson.dumps(tools))
    except TypeError:  # the codec will say so
        return 0
    return -(-size * 10 // JSON_BYTES_PER_TEN_TOKENS)


def _text(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)
