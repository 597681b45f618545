"""Anthropic Messages, for every host of Claude: the body is apart from path, model and version.

``encode`` writes what Anthropic's own API takes. Hosts that put the model into the path and the
version into the body (Bedrock InvokeModel, Vertex rawPredict) take ``body`` and add their own;
replies and the events of streams are the same everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.wire.anthropic.answer import decode
from headrace.wire.anthropic.request import NEW, OLD, PATH, Asked, body, encode, headers
from headrace.wire.anthropic.stream import fold

if TYPE_CHECKING:
    from headrace.wire.framing import Framing

__all__ = [
    "EPOCH",
    "FRAMING",
    "NEW",
    "OLD",
    "PATH",
    "Asked",
    "body",
    "decode",
    "encode",
    "fold",
    "headers",
]

EPOCH = 1
FRAMING: Framing = "sse"
