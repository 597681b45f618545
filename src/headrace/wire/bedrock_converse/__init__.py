"""AWS Bedrock's Converse: one form for all models that Bedrock serves.

The model stands in the path. What only one family of models knows goes into
``additionalModelRequestFields``, and there by ``extra_body`` alone: no family is known here.
"""

from __future__ import annotations

from typing import Final

from headrace.wire.bedrock_converse.answer import decode
from headrace.wire.bedrock_converse.request import encode
from headrace.wire.bedrock_converse.stream import fold

__all__ = ["EPOCH", "FRAMING", "decode", "encode", "fold"]

EPOCH: Final = 1
FRAMING: Final = "event_stream"
