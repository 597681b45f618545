"""JSON schemas as Cohere takes them, after its page on structured outputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What is not checked while writing is checked afterwards, by whoever asked.
_LEFT_OUT: Final = frozenset(
    {
        "additionalProperties",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "multipleOf",
        "uniqueItems",
    }
)
_FORMATS: Final = frozenset({"date", "date-time", "time", "uuid"})
_ODD_PATTERN: Final = re.compile(r"\^|\$|\?=|\?!")
_NAMED: Final = frozenset({"$defs", "definitions", "properties"})


def taken(schema: Mapping[str, object]) -> dict[str, object] | None:
    """``schema`` without what only narrows values; None where it cannot be asked for at all.

    Each object in an answer has a field that is required.
    """
    found = _without(schema)
    return found if all(_has_required(inner) for inner in _all(found)) else None


def _without(schema: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _below(name, value)
        for name, value in schema.items()
        if name not in _LEFT_OUT
        and not (name == "format" and value not in _FORMATS)
        and not (name == "pattern" and _ODD_PATTERN.search(str(value)))
    }


def _below(name: str, value: object) -> object:
    if name in _NAMED and isinstance(value, dict):
        return {key: _without(v) if isinstance(v, dict) else v for key, v in value.items()}
    if name in {"const", "default", "enum", "examples"}:
        return value
    if isinstance(value, list):
        return [_without(item) if isinstance(item, dict) else item for item in value]
    return _without(value) if isinstance(value, dict) else value


def _all(schema: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The schema and those in it."""
    yield schema
    for name, value in schema.items():
        inner = value.values() if name in _NAMED and isinstance(value, dict) else [value]
        for item in inner:
            for one in item if isinstance(item, list) else [item]:
                if isinstance(one, dict) and name not in {"const", "default", "enum", "examples"}:
                    yield from _all(one)


def _has_required(schema: Mapping[str, object]) -> bool:
    return schema.get("type") != "object" or bool(schema.get("required"))
