"""What came where a stream was asked for: the stream, or one whole body.

Some servers pass over ``stream: true`` and answer whole, some gateways answer with an error of
their own or a page; all with status 200, and under any content type. The first byte tells: no SSE
and no message of the AWS event stream begins with a bracket. A bare array is a stream as well:
it is how Gemini streams where its ``alt=sse`` got lost on the way.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from headrace.wire import reading
from headrace.wire.framing.base import Decoder, Frame, check_size

_BOM: Final = b"\xef\xbb\xbf"
_LEAD: Final = re.compile(rb"(?:\xef\xbb\xbf|[ \t\r\n])*")


class Opening(Decoder):
    """Hands on to ``stream`` what is one; a whole body is one frame, at the end.

    ``stream`` is made of lines of JSON where ``has_objects``: an object begins none of its bodies.
    """

    __slots__ = ("_begun", "_is_body", "_opens", "_stream")

    def __init__(self, stream: Decoder, *, has_objects: bool) -> None:
        """Begin."""
        super().__init__()
        self._stream = stream
        self._opens = b"<[" if has_objects else b"<[{"
        self._begun = bytearray()
        # None until the first byte that is no white space has come.
        self._is_body: bool | None = None

    def _take(self, data: bytes, frames: list[Frame]) -> None:
        if self._is_body is None:
            data = self._decide(data)
        if self._is_body is False:
            frames += self._stream.feed(data)
        elif self._is_body:
            self._begun += data
            check_size(len(self._begun))

    def _decide(self, data: bytes) -> bytes:
        """Find out what comes, if it can be told by now; what is to be read of it."""
        data = _LEAD.sub(b"", bytes(self._begun) + data, count=1)
        self._begun.clear()
        if _BOM.startswith(data):
            self._begun += data
            return b""
        self._is_body = data[0] in self._opens
        return data

    def _rest(self) -> list[Frame]:
        if self._is_body is False:
            return self._stream.end()
        body = bytes(self._begun)
        if body[:1] == b"<" or reading.load(body) is not None:
            return [Frame("", body, is_body=True)]
        if (items := _items(body)) is not None:
            return items
        return [*self._stream.feed(body), *self._stream.end()]


def _items(body: bytes) -> list[Frame] | None:
    """The frames that stand in an array; None where it is none."""
    try:
        data: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return [Frame("", orjson.dumps(item)) for item in data] if type(data) is list else None
