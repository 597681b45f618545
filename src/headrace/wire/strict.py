"""JSON schemas in the subset that OpenAI's strict mode takes: every object closed and complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.wire import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEEPEST: Final = 100
_NAMED: Final = ("properties", "$defs", "definitions")
# What an answer is still checked for here, while the server is not told of it.
_UNTOLD: Final = frozenset(
    {"default", "discriminator", "maxLength", "maxProperties", "minLength", "minProperties"}
    | {"uniqueItems"}
)
_UNSAID: Final = frozenset(
    {"allOf", "contains", "dependentRequired", "dependentSchemas", "else", "if", "not"}
    | {"patternProperties", "prefixItems", "propertyNames", "then"}
)
_SAYING: Final = frozenset({"$ref", "anyOf", "const", "enum", "oneOf", "type"})


class _OpenError(Exception):
    """The schema says what strict mode has no words for."""


def strict(schema: Mapping[str, object]) -> dict[str, object] | None:
    """``schema`` with every object closed and every property required; None: it cannot be said.

    Objects with names of any kind (``additionalProperties``), or with none told, are what strict
    mode has no place for; nor has it one for a root that is no object.
    """
    root = dict(schema)
    defs = reading.block(root.get("$defs"))
    if (named := reading.text(root.get("$ref"))) is not None:  # a model that holds itself
        root = {**reading.block(defs.get(named.removeprefix("#/$defs/"))), "$defs": defs}
    if root.get("type") != "object":
        return None
    try:
        return _closed(root, 0)
    except _OpenError:
        return None


def _closed(schema: object, depth: int) -> dict[str, object]:
    if type(schema) is not dict or depth > _DEEPEST or _SAYING.isdisjoint(schema):
        raise _OpenError
    if not _UNSAID.isdisjoint(schema) or schema.get("additionalProperties", False) is not False:
        raise _OpenError
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    made = {name: value for name, value in schema.items() if name not in _UNTOLD}
    for name in _NAMED:
        if type(inner := made.get(name)) is dict:
            made[name] = {key: _closed(item, depth + 1) for key, item in inner.items()}
    if "items" in made:
        made["items"] = _closed(made["items"], depth + 1)
    if type(several := made.pop("oneOf", made.get("anyOf"))) is list:
        made["anyOf"] = [_closed(item, depth + 1) for item in several]
    return _complete(made, depth)


def _complete(made: dict[str, object], depth: int) -> dict[str, object]:
    kind = made.get("type")
    if kind != "object" and not (type(kind) is list and "object" in kind):
        return made
    properties = reading.block(made.get("properties"))
    if not properties and depth:
        raise _OpenError
    made |= {"properties": properties, "required": list(properties)}
    made["additionalProperties"] = False
    return made
