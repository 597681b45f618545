"""AWS Bedrock: every model by Converse."""

from __future__ import annotations

from typing import ClassVar

from headrace.providers.base import Codec, CodecRequest
from headrace.wire import bedrock_converse


class BedrockRequest(CodecRequest):
    """``POST /model/MODEL/converse``."""

    __slots__ = ()
    codec: ClassVar[Codec] = bedrock_converse
