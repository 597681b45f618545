"""How many tokens a request is likely to cost, before it is sent.

UTF-8 bytes are the robust basis (about four to a token for prose, fewer for JSON and CJK is three
bytes a character); the difference to the truth is settled from the reply's usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.parts import Text

if TYPE_CHECKING:
    from headrace.core.conversation import Conversation
    from headrace.core.parts import Part

BYTES_PER_TOKEN: Final = 4
PER_MESSAGE: Final = 4
PER_IMAGE: Final = 1_000
UNBOUNDED_OUTPUT: Final = 1_024


def input_tokens(prompt: Conversation) -> int:
    """An estimate of the prompt's tokens."""
    return sum(PER_MESSAGE + _content(m.content) for m in prompt.messages)


def output_tokens(declared: int | None, model_maximum: int | None) -> int:
    """The bound on output tokens: what was declared, else the model's maximum up to 1,024."""
    if declared is not None:
        return declared
    return min(model_maximum or UNBOUNDED_OUTPUT, UNBOUNDED_OUTPUT)


def _content(content: str | tuple[Part, ...]) -> int:
    if isinstance(content, str):
        return _text(content)
    return sum(_text(p.text) if isinstance(p, Text) else PER_IMAGE for p in content)


def _text(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)
