"""What the decoders of all framings have in common.

A decoder gives the same frames, and then the same error, however the bytes are cut into blocks;
its work is linear in the bytes, whatever the size of the blocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

MAX_FRAME: Final = 32 * 1024 * 1024
"""The most bytes of one frame, whole or unfinished; as much as a whole reply may have."""


class FramingError(ValueError):
    """The bytes of a stream cannot be cut into frames; nothing after this place can be trusted."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: the name of its event, "" where it has none, and its data as it came.

    ``is_body``: it is no frame but the whole body, of a server that does not stream.
    """

    event: str
    data: bytes
    is_body: bool = False


class Decoder(ABC):
    """Cuts one stream into frames."""

    __slots__ = ("_failed",)

    def __init__(self) -> None:
        """Begin a stream; a decoder is used for one."""
        self._failed: FramingError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes.

        Raises ``FramingError`` where the stream cannot be read any further. Frames that are whole
        before that place come first, and the error with the next call.
        """
        self._check()
        frames: list[Frame] = []
        try:
            self._take(data, frames)
        except FramingError as error:
            self._failed = error
            if not frames:
                raise
        return frames

    def end(self) -> list[Frame]:
        """The stream ended here: what was begun and lacks its end, where that may be whole.

        A frame from here that cannot be read was cut, and is no garbage. Raises ``FramingError``
        where one is still owed.
        """
        self._check()
        return self._rest()

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    @abstractmethod
    def _take(self, data: bytes, frames: list[Frame]) -> None:
        """Append to ``frames`` what ``data`` completes."""

    @abstractmethod
    def _rest(self) -> list[Frame]:
        """What is left at the end."""


def check_size(size: int) -> None:
    """Raise ``FramingError`` for a frame of more than ``MAX_FRAME`` bytes."""
    if size > MAX_FRAME:
        msg = (
            f"a frame of the stream is larger than {MAX_FRAME >> 20} MiB;"
            " check that the base_url is that of an API"
        )
        raise FramingError(msg)
