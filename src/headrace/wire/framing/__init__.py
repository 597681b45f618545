"""How streams are cut into frames: SSE, NDJSON and the AWS event stream, as pure decoders."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from headrace.wire.framing.base import MAX_FRAME, Decoder, Frame, FramingError
from headrace.wire.framing.event_stream import EventStreamDecoder
from headrace.wire.framing.ndjson import NDJSONDecoder
from headrace.wire.framing.opening import Opening
from headrace.wire.framing.sse import SSEDecoder

Framing: TypeAlias = Literal["sse", "ndjson", "event_stream"]
_DECODERS: Final[dict[Framing, type[Decoder]]] = {
    "sse": SSEDecoder,
    "ndjson": NDJSONDecoder,
    "event_stream": EventStreamDecoder,
}
__all__ = [
    "MAX_FRAME",
    "Decoder",
    "EventStreamDecoder",
    "Frame",
    "Framing",
    "FramingError",
    "NDJSONDecoder",
    "Opening",
    "SSEDecoder",
    "decoder_of",
]


def decoder_of(framing: Framing) -> Decoder:
    """A new decoder, for the reply to one request that asked for a stream."""
    return Opening(_DECODERS[framing](), has_objects=framing == "ndjson")
