"""Anthropic Messages, and every server that speaks it."""

from __future__ import annotations

from typing import ClassVar

from headrace.providers.base import Codec, CodecRequest
from headrace.wire import anthropic, vertex_anthropic


class AnthropicRequest(CodecRequest):
    """``POST /v1/messages``."""

    __slots__ = ()
    codec: ClassVar[Codec] = anthropic


class VertexAnthropicRequest(CodecRequest):
    """``POST /models/MODEL:rawPredict``, at Google's Vertex."""

    __slots__ = ()
    codec: ClassVar[Codec] = vertex_anthropic
