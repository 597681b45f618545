"""Cohere's chat API, version 2."""

from __future__ import annotations

from typing import ClassVar

from headrace.providers.base import Codec, CodecRequest
from headrace.wire import cohere


class CohereRequest(CodecRequest):
    """``POST /v2/chat``."""

    __slots__ = ()
    codec: ClassVar[Codec] = cohere
