"""What an input is that holds no JSON lines: told from its first bytes, before anything is made."""

from __future__ import annotations

import json
import re
import shlex
from typing import Final

from headrace.core.errors import ConfigError

_LINES: Final = 'one JSON value a line, such as {"prompt": "..."}'
# What a file begins with, what it is then, and the command that makes lines of it.
_PACKED: Final = (
    (b"\x1f\x8b", "gzip", "gunzip -c"),
    (b"BZh", "bzip2", "bunzip2 -c"),
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
)
_WIDE: Final = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_OTHERS: Final = ((b"PK\x03\x04", "a zip archive or a spreadsheet"), (b"PAR1", "a Parquet file"))
_HEADER: Final = re.compile(rb'"?[A-Za-z_][\w .-]*"?(?:[,;\t]"?[A-Za-z_][\w .-]*"?)+')


def called(path: str) -> str:
    """What an input is called in a sentence."""
    return "the standard input" if path == "-" else f"the input {path}"


def check_form(head: bytes, path: str, command: str) -> None:
    """Raise ``ConfigError`` when the input that begins with ``head`` is of another form."""
    file = "" if path == "-" else f" {shlex.quote(path)}"
    said = _binary(head, file, command) or _text(head.removeprefix(b"\xef\xbb\xbf").lstrip(), file)
    if said is not None:
        raise ConfigError(f"{called(path)} {said}")


def _binary(head: bytes, file: str, command: str) -> str | None:
    for magic, name, unpack in _PACKED:
        if head.startswith(magic):
            return f"is packed with {name}; pipe it in: {unpack}{file} | headrace {command} - ..."
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return f"is {name}; write its rows as {_LINES}"
    for magic, name in _WIDE:
        if head.startswith(magic):
            return f"is written in {name}; make it UTF-8: iconv -f {name} -t UTF-8{file}"
    return f"is no UTF-8 text; give {_LINES}" if b"\0" in head[:4] else None


def _text(head: bytes, file: str) -> str | None:
    first, newline, rest = head.partition(b"\n")
    first = first.strip()
    if first == b"{":
        return f"is JSON over several lines; write it as one value a line: jq -c .{file}"
    # Where more follows a whole array in a line, that line is one bad row.
    if first.startswith(b"[") and not (newline and rest.strip() and _is_json(first)):
        return f"is one JSON array; write it as one row a line: jq -c '.[]'{file}"
    # A string with a comma in it is a row.
    is_table = _HEADER.fullmatch(first) and not _is_json(first)
    return f"looks like CSV; write its rows as {_LINES}" if is_table else None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
