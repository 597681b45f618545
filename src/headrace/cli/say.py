"""What people are told: lines on stderr and stdout that no prompt, reply or server can forge."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO


def clean(text: str) -> str:
    """``text`` on one line, each character that could steer a terminal written as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def line(text: str, stream: TextIO | None = None) -> None:
    """Write one line (to stderr), if there is still somebody to read it."""
    to = stream or sys.stderr
    # None without a console; an error when its reader has gone away or its encoding is poor.
    if to is not None:
        with suppress(OSError, ValueError):
            encoding = to.encoding or "utf-8"
            to.write(clean(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
            to.flush()
