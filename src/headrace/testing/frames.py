"""Frames of streams as bytes: what fakes send, and decoders are tried with."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE_ENDS: Final = re.compile(rb"\r\n|\r|\n")


def sse(data: bytes, event: str = "", end: bytes = b"\n") -> bytes:
    """A server-sent event; each line of ``data`` has a ``data:`` of its own."""
    lines = [b"event: " + event.encode()] if event else []
    lines += [b"data: " + line for line in _LINE_ENDS.split(data)]
    return end.join([*lines, b"", b""])


def aws(headers: Mapping[str, str | bytes], payload: bytes = b"") -> bytes:
    """A message of the AWS event stream; a header in bytes is its type and value as they stand."""
    packed = b"".join(_header(name, value) for name, value in headers.items())
    sizes = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    before = sizes + struct.pack(">I", crc32(sizes)) + packed + payload
    return before + struct.pack(">I", crc32(before))


def aws_event(event: str, payload: bytes) -> bytes:
    """An event of the AWS event stream, as Bedrock writes it."""
    named = {":message-type": "event", ":event-type": event, ":content-type": "application/json"}
    return aws(named, payload)


def aws_exception(kind: str, payload: bytes) -> bytes:
    """An exception in an AWS event stream, as Bedrock writes it."""
    return aws({":message-type": "exception", ":exception-type": kind}, payload)


def _header(name: str, value: str | bytes) -> bytes:
    plain = name.encode()
    if isinstance(value, str):
        text = value.encode()
        value = b"\x07" + struct.pack(">H", len(text)) + text
    return bytes((len(plain),)) + plain + value
