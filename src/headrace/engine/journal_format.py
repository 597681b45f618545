"""How a journal's lines are written and read, version 1. Pure; ``docs/journal.md`` is the format.

A line is ``CRC SPACE JSON LF``. Records are put together by hand from parts that orjson writes,
because this happens twice for each request. ``t`` and ``k`` always come first, so that recovery
finds them without reading the JSON.
"""

from __future__ import annotations

import base64
import json
import re
from binascii import hexlify
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from zlib import crc32

import orjson

from headrace.core.reply import Reply

VERSION: Final = 1
MAGIC: Final = b'00000000 {"t":"headrace-journal"'
"""How a journal begins, with its first CRC taken as zeros."""

FRAME: Final = 10
"""Bytes of a line besides its JSON: eight hex digits, a space, a line feed."""

RECORD: Final = re.compile(rb'[0-9a-f]{8} \{"t":"([^"]*)"(?:,"k":"([0-9a-f]{32})")?')
START: Final = re.compile(rb'[0-9a-f]{8} \{"t":"')
"""The start of a line. Nothing inside a record looks like it: quotes in strings are escaped."""

_MARK: Final = re.compile(rb'\{"t":"s","o":([0-9]+)\}')


@dataclass(frozen=True, slots=True)
class Found:
    """A recorded answer: the raw ``reply``, or where a provider has none the JSON ``value``."""

    route: str
    model: str
    reply: Reply | None
    value: bytes | None = field(repr=False)
    extras: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Failure:
    """A recorded final failure: ``error`` is ``HeadraceError.to_dict()`` of that time."""

    error: Mapping[str, object]
    extras: Mapping[str, object]


def lines(records: Iterable[bytes], before: int) -> tuple[bytes, int]:
    """The lines of records after one whose CRC was ``before``, and the last one's CRC."""
    crc, parts = before, []
    for record in records:
        crc = crc32(record, crc)
        parts.append(b"%08x %b\n" % (crc, record))
    return b"".join(parts), crc


def follows(text: bytes, before: int) -> int | None:
    """The CRC of a line (without LF) that stands after CRC ``before``; None where it is bad."""
    crc = crc32(text[9:], before)
    return crc if text[:9] == b"%08x " % crc else None


def header(salt: str, created: float) -> bytes:
    """The first record; its chain begins at the CRC of the salt."""
    return b'{"t":"headrace-journal","v":%d,"salt":"%b","created":%b}' % (
        VERSION,
        salt.encode(),
        orjson.dumps(round(created, 3)),
    )


def read_header(text: bytes) -> tuple[int, bytes] | None:
    """Version and salt of a first line (without LF), be its CRC right or wrong; None: no header."""
    try:
        form = orjson.loads(text[9:])
    except ValueError:
        return None
    if not isinstance(form, dict) or form.get("t") != "headrace-journal":
        return None
    version, salt = form.get("v"), form.get("salt")
    if type(version) is not int or not isinstance(salt, str):
        return None
    return version, salt.encode()


def begins_like_header(text: bytes, *, padded: bool) -> bool:
    """May ``text`` be what a crash left of a header? Short ones need the preallocated rest."""
    shape = re.sub(rb"[0-9a-f]", b"0", text[:8]) + text[8:]
    size = len(MAGIC)
    return shape[:size] == MAGIC[: len(shape)] and (padded or len(shape) >= size)


def run(models: tuple[str, ...], at: float) -> bytes:
    """A run begins."""
    return b'{"t":"run","at":%b,"models":%b}' % (orjson.dumps(round(at, 3)), _dump(models))


def mark(offset: int) -> bytes:
    """All bytes before ``offset`` are known to be on the disk."""
    return b'{"t":"s","o":%d}' % offset


def read_mark(record: bytes) -> int:
    """The offset of a mark; 0 for every other record."""
    found = _MARK.fullmatch(record)
    return int(found[1]) if found else 0


def intent(key: bytes, route: str, n: int) -> bytes:
    """A send is about to happen."""
    return b'{"t":"i","k":"%b","r":%b,"n":%d}' % (hexlify(key), _quote(route), n)


def withdrawn(key: bytes, n: int, code: str) -> bytes:
    """Send ``n`` of the row is known to have cost nothing: it was refused, or never left."""
    return b'{"t":"w","k":"%b","n":%d,"c":%b}' % (hexlify(key), n, _quote(code))


def reply(  # noqa: PLR0917  the hot path; names cost
    kind: bytes, key: bytes, route: str, model: str, got: Reply, extras: Mapping[str, object] | None
) -> bytes:
    """A raw reply; ``kind`` is ``a`` for an answer, ``u`` for one that cannot be read."""
    try:
        name, body = b"b", orjson.dumps(got.body.decode())
    except UnicodeDecodeError:
        name, body = b"b64", b'"%b"' % base64.b64encode(got.body)
    return b'{"t":"%b","k":"%b","r":%b,"m":%b,"s":%d,"h":%b,"x":%b,"%b":%b}' % (
        kind,
        hexlify(key),
        _quote(route),
        _quote(model),
        got.status,
        _dump(got.headers),
        _dump(extras or {}),
        name,
        body,
    )


def value(
    key: bytes, route: str, model: str, given: bytes, extras: Mapping[str, object] | None
) -> bytes:
    """An answer of a provider that has no raw reply; ``ValueError`` where ``given`` is no JSON."""
    orjson.loads(given)
    return b'{"t":"a","k":"%b","r":%b,"m":%b,"x":%b,"v":%b}' % (
        hexlify(key),
        _quote(route),
        _quote(model),
        _dump(extras or {}),
        given.replace(b"\n", b" "),  # in JSON a line feed is only ever space
    )


def failed(key: bytes, error: Mapping[str, object], extras: Mapping[str, object] | None) -> bytes:
    """A final failure."""
    return b'{"t":"f","k":"%b","e":%b,"x":%b}' % (hexlify(key), _dump(error), _dump(extras or {}))


def of_row(text: bytes, key: bytes) -> bytes:
    """The record of a line (without LF); ``ValueError`` where it does not belong to ``key``."""
    found = RECORD.match(text)
    if found is None or found[2] != hexlify(key):
        raise ValueError("the record of another row")
    return text[9:]


def read_answer(record: bytes) -> Found:
    """Read an ``a`` record; ``ValueError``, ``KeyError`` or ``TypeError`` where it is none."""
    form = _load(record)
    got = given = None
    if "v" in form:
        given = _dump(form["v"])
    else:
        body = str.encode(form["b"]) if "b" in form else base64.b64decode(form["b64"])
        got = Reply(form["s"], body, form["h"])
    return Found(form["r"], form["m"], got, given, form["x"])


def read_failure(record: bytes) -> Failure:
    """Read an ``f`` record."""
    form = _load(record)
    return Failure(form["e"], form["x"])


@lru_cache(4096)
def _quote(text: str) -> bytes:
    return _dump(text)


def _dump(form: object) -> bytes:
    """JSON on one line. Lone surrogates and large integers, which orjson refuses, are kept too."""
    try:
        return orjson.dumps(form, _as_dict)
    except TypeError:
        return json.dumps(form, default=_as_dict, separators=(",", ":"), allow_nan=False).encode()


def _load(record: bytes) -> dict[str, Any]:
    form: dict[str, Any]
    try:
        form = orjson.loads(record)
    except ValueError:
        form = json.loads(record)
    return form


def _as_dict(form: object) -> dict[object, object]:
    if isinstance(form, Mapping):
        return dict(form)
    raise TypeError(f"{type(form).__name__} is not JSON")
