"""Google Gemini's generateContent."""

from __future__ import annotations

from typing import ClassVar

from headrace.providers.base import Codec, CodecRequest
from headrace.wire import gemini


class GeminiRequest(CodecRequest):
    """``POST /models/MODEL:generateContent``."""

    __slots__ = ()
    codec: ClassVar[Codec] = gemini
