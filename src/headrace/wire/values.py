"""The value of an answer that is no text, as JSON and back: ``[kind, …]``, for stores."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, cast

from headrace.core.media import Audio
from headrace.core.operations import Moderation, Ranked

_DAMAGED = "the record's value is not what a record holds; treat it as a miss"


def dump(value: object) -> list[object] | None:
    """``value`` as plain JSON; None where it is of none of our kinds, as what a schema made is."""
    match value:
        case array():
            return ["vector", _text(_little(value).tobytes())]
        case Moderation():
            return ["moderation", value.flagged, dict(value.categories), dict(value.scores)]
        case Audio(data=bytes() as data):
            return ["audio", _text(data), value.media_type]
        case (Ranked(), *_):
            ranked = cast("Sequence[Ranked]", value)
            return ["ranking", [[each.index, each.score] for each in ranked]]
    return None


def load(form: object) -> object:
    """The value again; raises ``ValueError`` for what is none."""
    try:
        return _load(*cast("list[Any]", form))
    except (TypeError, ValueError) as error:
        raise ValueError(_DAMAGED) from error


def _load(kind: str, *fields: Any) -> object:
    match kind, *fields:
        case "vector", str(packed):
            return _little(_floats(packed))
        case "moderation", bool(flagged), Mapping() as categories, Mapping() as scores:
            return Moderation(flagged, categories, scores)
        case "audio", str(data), str(media_type):
            return Audio(data=b64decode(data, validate=True), media_type=media_type)
        case "ranking", list(rows):
            return tuple(Ranked(int(index), float(score)) for index, score in rows)
    raise ValueError(_DAMAGED)


def _floats(packed: str) -> array[float]:
    made: array[float] = array("f")
    made.frombytes(b64decode(packed, validate=True))
    return made


def _little(numbers: array[float]) -> array[float]:
    if sys.byteorder == "little":
        return numbers
    turned = numbers[:]
    turned.byteswap()
    return turned


def _text(data: bytes) -> str:
    return b64encode(data).decode()
