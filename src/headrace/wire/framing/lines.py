"""Lines out of blocks, for the framings that are made of lines."""

from __future__ import annotations

from headrace.wire.framing.base import check_size


class Lines:
    r"""Splits at ``\r``, ``\n`` and ``\r\n`` only, also where a block ends between the two.

    Not at U+2028, U+2029 and U+0085, which may stand in JSON as they are; and on bytes, so that a
    character may be cut anywhere.
    """

    __slots__ = ("_after_return", "rest")

    def __init__(self) -> None:
        """Begin."""
        self.rest = bytearray()
        self._after_return = False

    def feed(self, data: bytes) -> list[bytes]:
        r"""The lines that ``data`` completes, without their ends; ``rest`` is the unfinished one.

        A line is given at its ``\r``, since nobody knows when a ``\n`` would come.
        """
        if self._after_return and data:
            data = data.removeprefix(b"\n")
            self._after_return = False
        if not data:
            return []
        lines = data.splitlines()
        last = data[-1]
        self._after_return = last == 13  # noqa: PLR2004 - a carriage return
        begun = b"" if last in b"\r\n" else lines.pop()
        if lines and self.rest:
            lines[0] = bytes(self.rest) + lines[0]
            self.rest.clear()
        self.rest += begun
        return lines

    def check(self) -> None:
        """Raise ``FramingError`` where the unfinished line is too long."""
        check_size(len(self.rest))
