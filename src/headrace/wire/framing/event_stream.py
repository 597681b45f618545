"""The AWS event stream (``application/vnd.amazon.eventstream``): binary frames with checksums.

A frame is a prelude of twelve bytes (its length, that of its headers, a CRC of these eight bytes),
headers, a payload, and a CRC of all before it; integers are big-endian.
"""

from __future__ import annotations

import struct
from typing import Final
from zlib import crc32

import orjson

from headrace.wire.framing.base import Decoder, Frame, FramingError

MAX_HEADERS: Final = 128 * 1024
MAX_PAYLOAD: Final = 24 * 1024 * 1024
_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = 4
_OVERHEAD: Final = _PRELUDE.size + _CRC
# How long a value is, by the number of its type: true, false, byte, short, integer, long, two
# with a length of their own (bytes, string), timestamp, UUID.
_SIZES: Final = (0, 0, 1, 2, 4, 8, None, None, 8, 16)
_STRING: Final = 7


class EventStreamDecoder(Decoder):
    """Each message is a frame: an event with its payload as it came.

    ``:event-type`` names it, of an exception ``:exception-type``. A message of type ``error`` has
    no payload; it becomes the event "error" with ``{"code": …, "message": …}``.
    """

    __slots__ = ("_buffer", "_need")

    def __init__(self) -> None:
        """Begin a stream."""
        super().__init__()
        self._buffer = bytearray()
        # So many bytes until something can be done: a prelude, or a whole message.
        self._need = _PRELUDE.size

    def _take(self, data: bytes, frames: list[Frame]) -> None:
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= self._need:
                if self._need == _PRELUDE.size:
                    self._need = _length(bytes(self._buffer[at : at + _PRELUDE.size]))
                else:
                    frames.append(_frame(bytes(self._buffer[at : at + self._need])))
                    at += self._need
                    self._need = _PRELUDE.size
        finally:
            del self._buffer[:at]

    def _rest(self) -> list[Frame]:
        """Nothing: a message without its checksum is no message."""
        return []


def _length(prelude: bytes) -> int:
    total, headers, check = _PRELUDE.unpack(prelude)
    if crc32(prelude[:8]) != check:
        msg = "the start of a frame has a wrong checksum; the stream was garbled on its way"
        raise FramingError(msg)
    payload = total - headers - _OVERHEAD
    if headers > MAX_HEADERS or not 0 <= payload <= MAX_PAYLOAD:
        msg = (
            f"a frame says that it has {headers} bytes of headers and {payload} of payload;"
            " the server does not keep to the format"
        )
        raise FramingError(msg)
    return int(total)


def _frame(message: bytes) -> Frame:
    if crc32(message[:-_CRC]) != int.from_bytes(message[-_CRC:], "big"):
        msg = "a frame has a wrong checksum; the stream was garbled on its way"
        raise FramingError(msg)
    start = _PRELUDE.size + int.from_bytes(message[4:8], "big")
    named = _headers(message[_PRELUDE.size : start])
    payload = message[start:-_CRC]
    match named.get(":message-type"):
        case "exception":
            return Frame(named.get(":exception-type", "exception"), payload)
        case "error":
            said = {"code": named.get(":error-code"), "message": named.get(":error-message")}
            return Frame("error", payload or orjson.dumps(said))
    return Frame(named.get(":event-type", ""), payload)


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are strings."""
    named, at = {}, 0
    while at < len(data):
        name, at = _piece(data, at + 1, data[at])
        if at >= len(data) or data[at] >= len(_SIZES):
            raise _bad_headers()
        kind = data[at]
        size, at = _SIZES[kind], at + 1
        if size is None:
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        value, at = _piece(data, at, size)
        if kind == _STRING:
            named[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return named


def _piece(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """So many bytes, and the place after them."""
    stop = at + size
    if stop > len(data):
        raise _bad_headers()
    return data[at:stop], stop


def _bad_headers() -> FramingError:
    return FramingError(
        "the headers of a frame cannot be read; the server does not keep to the format"
    )
