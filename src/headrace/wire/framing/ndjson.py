"""NDJSON: one JSON value a line, as Ollama streams."""

from __future__ import annotations

from headrace.wire.framing.base import Decoder, Frame, check_size
from headrace.wire.framing.lines import Lines


class NDJSONDecoder(Decoder):
    """Each line that is not blank is a frame without an event.

    ``end`` gives a last line without its end: servers leave it out, and JSON says by itself
    whether it is whole.
    """

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        """Begin a stream."""
        super().__init__()
        self._lines = Lines()

    def _take(self, data: bytes, frames: list[Frame]) -> None:
        for line in self._lines.feed(data):
            check_size(len(line))
            _append(line, frames)
        self._lines.check()

    def _rest(self) -> list[Frame]:
        frames: list[Frame] = []
        _append(bytes(self._lines.rest), frames)
        return frames


def _append(line: bytes, frames: list[Frame]) -> None:
    if line := line.strip():
        frames.append(Frame("", line))
