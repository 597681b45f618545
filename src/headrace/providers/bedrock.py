"""AWS Bedrock: every model by Converse, and Claude by InvokeModel."""

from __future__ import annotations

from typing import ClassVar

from headrace.providers.base import Codec, CodecRequest
from headrace.wire import bedrock_anthropic, bedrock_converse


class BedrockRequest(CodecRequest):
    """``POST /model/MODEL/converse``."""

    __slots__ = ()
    codec: ClassVar[Codec] = bedrock_converse


class BedrockAnthropicRequest(CodecRequest):
    """``POST /model/MODEL/invoke``."""

    __slots__ = ()
    codec: ClassVar[Codec] = bedrock_anthropic
