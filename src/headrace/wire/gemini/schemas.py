"""JSON schemas in the part of the language that Gemini reads."""

from __future__ import annotations

from typing import Final

# What Google lists for responseJsonSchema and parametersJsonSchema.
_READ: Final = frozenset(
    {
        "$anchor",
        "$id",
        "description",
        "enum",
        "format",
        "maximum",
        "maxItems",
        "minimum",
        "minItems",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)


def readable(schema: object) -> object:
    """``schema`` without what Gemini refuses; answers are validated against the whole one here.

    ``const`` becomes an ``enum`` of one, an ``allOf`` of one what stands in it, and ``definitions``
    are named ``$defs``.
    """
    if not isinstance(schema, dict):
        return schema
    found: dict[str, object] = {}
    for name, value in schema.items():
        found |= _keyword(name, value)
    return found


def _keyword(name: str, value: object) -> dict[str, object]:
    match name, value:
        case ("$defs" | "definitions", dict()):
            return {"$defs": {key: readable(inner) for key, inner in value.items()}}
        case ("properties", dict()):
            return {"properties": {key: readable(inner) for key, inner in value.items()}}
        case ("anyOf" | "oneOf" | "prefixItems", list()):
            return {name: [readable(inner) for inner in value]}
        case ("additionalProperties" | "items", _):
            return {name: readable(value)}
        case ("allOf", [dict() as only]):
            return _block(readable(only))
        case ("const", _):
            return {"enum": [value]}
        case ("$ref", str()):
            return {name: value.replace("#/definitions/", "#/$defs/")}
    return {name: value} if name in _READ else {}


def _block(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
