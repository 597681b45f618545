"""How streams are cut into frames: SSE, NDJSON and the AWS event stream, as pure decoders."""

from __future__ import annotations

from headrace.wire.framing.base import MAX_FRAME, Decoder, Frame, FramingError
from headrace.wire.framing.event_stream import EventStreamDecoder
from headrace.wire.framing.ndjson import NDJSONDecoder
from headrace.wire.framing.sse import SSEDecoder

__all__ = [
    "MAX_FRAME",
    "Decoder",
    "EventStreamDecoder",
    "Frame",
    "FramingError",
    "NDJSONDecoder",
    "SSEDecoder",
]
