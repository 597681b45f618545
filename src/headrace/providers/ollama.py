"""Ollama's own chat API."""

from __future__ import annotations

from typing import ClassVar

from headrace.providers.base import Codec, CodecRequest
from headrace.wire import ollama


class OllamaRequest(CodecRequest):
    """``POST /api/chat``."""

    __slots__ = ()
    codec: ClassVar[Codec] = ollama
