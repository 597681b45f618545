"""Ollama's own chat API. What becomes of a prompt's parts: ``docs/messages.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.wire.ollama.decode import decode
from headrace.wire.ollama.encode import encode
from headrace.wire.ollama.stream import fold

if TYPE_CHECKING:
    from headrace.wire.framing import Framing

__all__ = ["EPOCH", "FRAMING", "decode", "encode", "fold"]

EPOCH: Final = 1
FRAMING: Final[Framing] = "ndjson"
