"""JSON schemas in the part of the language that Gemini reads."""

from __future__ import annotations

from typing import Final

# What Google lists for responseJsonSchema and parametersJsonSchema.
_READ: Final = frozenset(
    {
        "$anchor",
        "$id",
        "$ref",
        "additionalProperties",
        "description",
        "enum",
        "format",
        "items",
        "maximum",
        "maxItems",
        "minimum",
        "minItems",
        "prefixItems",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)
_OF_NAMED: Final = frozenset({"$defs", "definitions", "properties"})
_OF_LISTED: Final = frozenset({"anyOf", "oneOf", "prefixItems"})
_OF_ONE: Final = frozenset({"additionalProperties", "items"})


def readable(schema: object) -> object:
    """``schema`` without what Gemini refuses; answers are validated against the whole one here.

    ``const`` becomes an ``enum`` of one, an ``allOf`` of one what stands in it, and ``definitions``
    are named ``$defs``.
    """
    if not isinstance(schema, dict):
        return schema
    found: dict[str, object] = {}
    for name, value in schema.items():
        if name in _OF_NAMED and isinstance(value, dict):
            found["$defs" if name == "definitions" else name] = {
                key: readable(inner) for key, inner in value.items()
            }
        elif name in _OF_LISTED and isinstance(value, list):
            found[name] = [readable(inner) for inner in value]
        elif name in _OF_ONE:
            found[name] = readable(value)
        elif name == "const":
            found["enum"] = [value]
        elif name == "allOf" and isinstance(value, list) and len(value) == 1:
            found = {**_block(readable(value[0])), **found}
        elif name in _READ:
            found[name] = _moved(value) if name == "$ref" else value
    return found


def _block(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _moved(reference: object) -> object:
    if isinstance(reference, str):
        return reference.replace("#/definitions/", "#/$defs/")
    return reference
