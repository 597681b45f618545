"""JSON schemas within the subset that Bedrock keeps models to; the whole is checked here anyway."""

from __future__ import annotations

from typing import Final

# Refused where the answer is to keep to the schema.
_NOT_KEPT: Final = frozenset(
    {
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maximum",
        "minLength",
        "minimum",
        "multipleOf",
        "uniqueItems",
    }
)
_BY_NAME: Final = frozenset({"$defs", "definitions", "properties"})
_DEPTH: Final = 64


def closed(schema: dict[str, object], depth: int = _DEPTH) -> dict[str, object]:
    """``schema`` with objects that take no other properties, and without bounds of values.

    What is said of ``additionalProperties`` stays: to close a map would leave nothing of it.
    """
    if not depth:
        return schema
    found: dict[str, object] = {}
    for key, value in schema.items():
        if key in _BY_NAME and isinstance(value, dict):
            found[key] = {name: _inner(item, depth) for name, item in value.items()}
        elif key in {"enum", "const", "default", "examples"}:
            found[key] = value
        elif key not in _NOT_KEPT and not (key == "minItems" and value not in {0, 1}):
            found[key] = _inner(value, depth)
    if schema.get("type") == "object" or "properties" in schema:
        found.setdefault("additionalProperties", False)
    return found


def _inner(value: object, depth: int) -> object:
    if isinstance(value, dict):
        return closed(value, depth - 1)
    if isinstance(value, list):
        return [_inner(item, depth) for item in value]
    return value
