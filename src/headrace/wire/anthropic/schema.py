"""JSON schemas as Anthropic's structured output takes them. Pure.

What it does not know (bounds, patterns, most formats) becomes a part of the description, so that
the model reads of it; the answer is checked against the whole schema here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import orjson

from headrace.wire.reading import block

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema: TypeAlias = dict[str, object]
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_KEPT: Final = frozenset({"$ref", "type", "enum", "const", "description", "title", "required"})
_BRANCHES: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_NAMED: Final = ("$defs", "definitions", "properties")


def of_object(schema: Schema) -> Schema:
    """``schema`` with the type that the arguments of every tool have."""
    return schema if "type" in schema else {"type": "object", **schema}


def strict(schema: Schema) -> Schema:
    """``schema`` with closed objects, and without the words that the API does not know."""
    found: Schema = {}
    left: Schema = {}
    if "$ref" in schema:  # what stands beside it is not taken
        schema = {word: schema[word] for word in ("$ref", "$defs", "definitions") if word in schema}
    for word, value in schema.items():
        if (taken := _taken(word, value)) is not None:
            found.update(taken)
        elif word != "additionalProperties" and not word.startswith("$"):
            left[word] = value
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    if left:
        said = found.get("description")
        told = orjson.dumps(left).decode()
        found["description"] = f"{said}\n\n{told}" if said else told
    return found


def _taken(word: str, value: object) -> Schema | None:
    """What the API takes of one word; None where it does not know it."""
    if word in _NAMED:
        return {word: {name: strict(block(inner)) for name, inner in block(value).items()}}
    if word in _BRANCHES and type(value) is list:
        return {_BRANCHES[word]: [strict(block(branch)) for branch in value]}
    if word == "items":
        return {word: strict(block(value))}
    kept = (
        word in _KEPT
        or (word == "format" and value in _FORMATS)
        or (word == "minItems" and value in {0, 1})
    )
    return {word: value} if kept else None


def is_closed(schema: Schema) -> bool:
    """Can structured output say it? Not where objects have keys of any name, or hold themselves."""
    return not any(_is_open(part) for part in _parts(schema)) and not _recurs(schema)


def _is_open(part: Schema) -> bool:
    more = part.get("additionalProperties")
    if type(more) is dict or "patternProperties" in part:
        return True
    return part.get("type") == "object" and not part.get("properties") and more is not False


def _parts(schema: Schema) -> Iterator[Schema]:
    """``schema`` and all schemas inside it."""
    yield schema
    for word, value in schema.items():
        if word in _NAMED:
            inner = list(block(value).values())
        elif word in _BRANCHES and type(value) is list:
            inner = value
        else:
            inner = [value] if word == "items" else []
        for part in inner:
            if type(part) is dict:
                yield from _parts(part)


def _recurs(schema: Schema) -> bool:
    """Does a definition lead back to itself?"""
    named = {
        f"#/{word}/{name}": block(inner)
        for word in ("$defs", "definitions")
        for name, inner in block(schema.get(word)).items()
    }
    leads = {
        name: {str(part["$ref"]) for part in _parts(inner) if "$ref" in part}
        for name, inner in named.items()
    }
    reached = {name: set(found) for name, found in leads.items()}
    for _ in leads:  # as long a way as there can be
        for found in reached.values():
            found |= {further for step in found for further in leads.get(step, ())}
    refers_to_root = any(part.get("$ref") == "#" for part in _parts(schema))
    return refers_to_root or any(name in found for name, found in reached.items())
