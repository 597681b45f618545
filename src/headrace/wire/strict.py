"""The subset of JSON schema that OpenAI enforces while it writes ("strict"). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    Schema = dict[str, object]

# What is not checked while writing is checked afterwards, by whoever asked.
_DROPPED: Final = frozenset({"default", "examples", "discriminator", "$schema", "title"})
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_BEYOND: Final = frozenset(
    {
        "allOf",
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxProperties",
        "minProperties",
        "not",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
# Each value has a type: one of these says it.
_SAYS_WHAT: Final = frozenset({"$ref", "anyOf", "const", "enum", "type"})


class _BeyondError(Exception):
    """The subset cannot say it."""


def closed(schema: Mapping[str, object]) -> Schema | None:
    """``schema`` as the subset says it, or None where it cannot.

    All properties are required and no others allowed: what fits this fits ``schema`` too.
    """
    try:
        found = _node(schema)
    except _BeyondError:
        return None
    return found if found.get("type") == "object" and "anyOf" not in found else None


def _node(schema: object) -> Schema:
    if not isinstance(schema, dict) or _BEYOND & schema.keys():
        raise _BeyondError
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    found: Schema = {}
    for name, value in schema.items():
        if name in _DROPPED or (name == "format" and value not in _FORMATS):
            continue
        found["anyOf" if name == "oneOf" else name] = _value(name, value)
    if _SAYS_WHAT.isdisjoint(found):  # any value
        raise _BeyondError
    kind = found.get("type")
    if kind == "array" and "items" not in found:
        raise _BeyondError
    if kind == "object" or "properties" in found or (type(kind) is list and "object" in kind):
        _close(found)
    return found


def _value(name: str, value: object) -> object:
    if name in {"properties", "$defs", "definitions"}:
        if not isinstance(value, dict):
            raise _BeyondError
        return {key: _node(inner) for key, inner in value.items()}
    if name == "items":
        return _node(value)
    if name in {"anyOf", "oneOf"} and isinstance(value, list):
        return [_node(inner) for inner in value]
    return value


def _close(found: Schema) -> None:
    """An object of any keys is beyond the subset, which wants each of them named."""
    properties = found.get("properties")
    if not isinstance(properties, dict) or found.get("additionalProperties", False) is not False:
        raise _BeyondError
    found |= {"required": list(properties), "additionalProperties": False}
