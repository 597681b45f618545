"""Gemini generateContent, as Google's Developer API and Vertex speak it: bytes out, answer in.

System messages at the beginning are the ``systemInstruction``; those further on become the user's.
Messages of one role in a row are one turn; ``docs/messages.md`` has the rule. What a model signed
goes back on the very part that it came on: Gemini 3 refuses a conversation without it.
"""

from __future__ import annotations

from typing import Final

from headrace.wire.gemini.decode import decode
from headrace.wire.gemini.encode import encode
from headrace.wire.gemini.stream import GeminiFold as fold  # noqa: N813 - called as a function

__all__ = ["EPOCH", "FRAMING", "decode", "encode", "fold"]
EPOCH: Final = 1
FRAMING: Final = "sse"
