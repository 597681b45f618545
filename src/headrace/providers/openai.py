"""OpenAI Chat Completions and Responses, and every server that speaks them."""

from __future__ import annotations

from typing import ClassVar

from headrace.providers.base import Codec, CodecRequest
from headrace.wire import openai_chat, openai_responses


class OpenAIChatRequest(CodecRequest):
    """``POST /chat/completions``."""

    __slots__ = ()
    codec: ClassVar[Codec] = openai_chat


class OpenAIResponsesRequest(CodecRequest):
    """``POST /responses``."""

    __slots__ = ()
    codec: ClassVar[Codec] = openai_responses
