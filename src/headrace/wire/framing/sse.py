"""Server-sent events, after the WHATWG standard, with two liberties that providers ask for.

Lines of JSON without ``data:`` are no event by the standard. Gemini sends its errors so, over
several lines; google-genai collects such lines until their braces balance, and so does this.

By the standard an event without its blank line at the end of the stream is lost, as it is in the
SDKs of OpenAI and Anthropic; google-genai reads it. Here ``end`` gives it, and whoever reads it
finds out whether it was cut.
"""

from __future__ import annotations

import re
from typing import Final

from headrace.wire.framing.base import Decoder, Frame, check_size
from headrace.wire.framing.lines import Lines

_BOM: Final = b"\xef\xbb\xbf"
# Of a JSON string everything up to its end, or up to the line's end where it has none.
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?$)')


class SSEDecoder(Decoder):
    """Each event with data is a frame; comments, ``id`` and ``retry`` are passed over."""

    __slots__ = ("_data", "_depth", "_event", "_is_first", "_lines", "_raw", "_size")

    def __init__(self) -> None:
        """Begin a stream."""
        super().__init__()
        self._lines = Lines()
        self._is_first = True
        self._event = ""
        self._data: list[bytes] = []
        self._raw: list[bytes] = []
        self._depth = 0
        self._size = 0

    def _take(self, data: bytes, frames: list[Frame]) -> None:
        for line in self._lines.feed(data):
            self._read(line, frames)
        check_size(self._size + len(self._lines.rest))

    def _rest(self) -> list[Frame]:
        frames: list[Frame] = []
        if self._lines.rest:
            self._read(bytes(self._lines.rest), frames)
            self._lines.rest.clear()
        if any(self._data):
            self._dispatch(frames)
        self._end_raw(frames)
        return frames

    def _read(self, line: bytes, frames: list[Frame]) -> None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        check_size(self._size + len(line))
        if not line:
            self._end_raw(frames)
            self._dispatch(frames)
        elif line.startswith(b"data:"):
            self._end_raw(frames)
            self._size += len(line)
            self._data.append(_value(line, 5))
        elif line.startswith(b"event:"):
            self._end_raw(frames)
            self._event = _value(line, 6).decode("utf-8", "replace")
        elif self._raw or line.lstrip()[:1] in (b"{", b"["):
            self._read_raw(line, frames)
        elif line in (b"data", b"event"):
            self._read(line + b":", frames)

    def _dispatch(self, frames: list[Frame]) -> None:
        data, event = self._data, self._event
        self._event = ""
        if data:
            frames.append(Frame(event, data[0] if len(data) == 1 else b"\n".join(data)))
            self._data = []
            self._size = 0

    def _read_raw(self, line: bytes, frames: list[Frame]) -> None:
        bare = _STRING.sub(b"", line)
        self._depth += bare.count(b"{") + bare.count(b"[")
        self._depth -= bare.count(b"}") + bare.count(b"]")
        self._size += len(line)
        self._raw.append(line)
        if self._depth <= 0:
            self._end_raw(frames)

    def _end_raw(self, frames: list[Frame]) -> None:
        if self._raw:
            frames.append(Frame("", b"\n".join(self._raw)))
            self._raw = []
            self._depth = 0
            self._size = sum(map(len, self._data))


def _value(line: bytes, start: int) -> bytes:
    """What follows the colon, without one space."""
    return line[start + 1 :] if line[start : start + 1] == b" " else line[start:]
