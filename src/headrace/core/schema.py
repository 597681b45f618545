"""What an answer has to look like: a JSON schema, and how a text becomes a value of it.

The door to jsonschema (extra "schema"), which checks answers to schemas that are no Python types.

APIs want an object at the top. So what is none (a list, a union) is asked for as the "value" of
one, and taken out of it again; a model that gives it bare is understood, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from functools import partial
from importlib import import_module
from inspect import isroutine
from typing import Any, Final, Never, get_origin

import orjson
from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from headrace.core.errors import ConfigError
from headrace.core.made import Made

_SHOWN: Final = 3
_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
# What models put around JSON that they were asked for in words.
_FENCED: Final = re.compile(r"```(?:\w+)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
# How JSON begins; "[see below]" and "{x}" are words.
_OPENING: Final = re.compile(r'\{\s*["}]|\[\s*[\[{"\]\d-]')
# Places where JSON may begin among words; each try may read to the end.
_TRIES: Final = 16
# Where names stand for keys, and where a value is the caller's own.
_NAMES: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_SHARED: Final = frozenset({"$defs", "$schema", "definitions"})
_VALUES: Final = frozenset({"default", "const", "enum", "examples"})
# What says something of a value and asks nothing of it.
_REMARKS: Final = frozenset({"$comment", "$id", "deprecated", "description", "title"})
# Formats that are checked with or without the packages that jsonschema has for others.
_FORMATS: Final = ("date", "email", "ipv4", "ipv6", "regex", "uuid")


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The shape that is asked for. Two are equal when their names and JSON schemas are.

    ``parse`` makes a value of an answer's text, or raises ``ValueError`` with what is wrong.
    """

    name: str
    json: str
    parse: Callable[[str], object] = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        """Keep to the names and roots that all APIs take."""
        object.__setattr__(self, "name", _NAME.sub("_", self.name)[:64] or "answer")
        if self.schema.get("type") != "object":
            msg = "the root of an OutputSchema is no object; make it with OutputSchema.of()"
            raise ConfigError(msg)

    @classmethod
    def of(cls, kind: Any) -> OutputSchema:  # noqa: ANN401  any type has a schema, or is refused
        """The schema of a pydantic model, dataclass, TypedDict or other type, or a JSON schema.

        Raises ``ConfigError`` for what has none, and for a JSON schema without the extra "schema".
        """
        if isinstance(kind, OutputSchema):
            return kind
        if isinstance(kind, Mapping):
            return _of_json(kind)
        if isroutine(kind) or isinstance(kind, partial):
            named = getattr(kind, "__name__", "one")
            msg = f"output_schema must be a type or a JSON schema, not the function {named}; give"
            raise ConfigError(f"{msg} the type of what it returns, or give it as one of tools=")
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(kind)
            schema = schema_of(adapter)
        except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
            # Of what is no type at all, pydantic says nothing that helps.
            is_type = isinstance(kind, type) or get_origin(kind) is not None
            said = f" ({str(error).partition(chr(10))[0]})" if is_type else ""
            msg = f"output_schema must be a type or a JSON schema, not {kind!r:.80}{said}"
            raise ConfigError(msg) from None
        name = getattr(kind, "__name__", None) or "answer"
        return _made(kind, name, schema, partial(_validated, adapter))

    @property
    def schema(self) -> dict[str, object]:
        """The JSON schema, as a dict of your own."""
        found: dict[str, object] = orjson.loads(self.json)
        return found

    def canonical(self) -> list[object]:
        """What keys are made of; text, since keys sort all names."""
        return ["schema", self.name, self.json]


def schema_of(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    """The JSON schema of a type, without what says nothing, and with its own form at the top."""
    return _at_the_top(_untitled(adapter.json_schema()))


def _at_the_top(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that is but a reference to one of its definitions, as that: what APIs ask for."""
    reference = str(schema.get("$ref", ""))
    found = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
    if not reference.startswith("#/$defs/") or not isinstance(found, dict):
        return schema
    return {**found, "$defs": schema["$defs"]}


def _of_json(given: Mapping[str, object]) -> OutputSchema:
    """A JSON schema, also in the wrapping that OpenAI's ``response_format`` has."""
    found: object = given.get("json_schema", given)
    wrapped = found if given.get("type") == "json_schema" else None
    inner = wrapped.get("schema") if isinstance(wrapped, Mapping) else None
    schema = inner if isinstance(inner, Mapping) else given
    name = wrapped.get("name") if isinstance(wrapped, Mapping) else schema.get("title")
    parse = partial(_checked, validator_of(schema))
    whole: dict[str, Any] = {**schema}
    return _made(given, str(name or "answer"), _at_the_top(whole), parse)


def _made(
    kind: object, name: str, schema: dict[str, Any], parse: Callable[[str], object]
) -> OutputSchema:
    if "type" not in schema and "properties" in schema:
        schema = {"type": "object", **schema}
    if schema.get("type") == "object":
        made = Made(_parser_of, kind, lambda text: parse(json_in(text)))
        return OutputSchema(name, schema_text(schema), made)
    shared = {key: value for key, value in schema.items() if key in _SHARED}
    inner = {key: value for key, value in schema.items() if key not in _SHARED}
    whole: dict[str, Any] = {
        **shared,
        "type": "object",
        "properties": {"value": inner},
        "required": ["value"],
        "additionalProperties": False,
    }
    made = Made(_parser_of, kind, lambda text: parse(_taken_out(json_in(text))))
    return OutputSchema(name, schema_text(whole), made)


def _parser_of(kind: object) -> Callable[[str], object]:
    return OutputSchema.of(kind).parse


def _taken_out(text: str) -> str:
    value = _loaded(text)
    if isinstance(value, dict) and value.keys() == {"value"}:
        return json.dumps(value["value"])
    return text


def validator_of(schema: Mapping[str, object]) -> Any:  # noqa: ANN401  jsonschema has no types
    """What checks values against a JSON schema; raises ``ConfigError``."""
    try:
        jsonschema = import_module("jsonschema")
    except ImportError:
        msg = (
            'answers to a JSON schema are checked with jsonschema: pip install "headrace[schema]",'
            " or give a pydantic model, a dataclass or a TypedDict"
        )
        raise ConfigError(msg) from None
    kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = "" if error.json_path == "$" else f" at {error.json_path}"
        raise ConfigError(f"the JSON schema is none: {error.message}{where}") from None
    if schema and not schema.keys() & {*kind.VALIDATORS, *_SHARED, *_VALUES, *_REMARKS}:
        names = ", ".join(map(str, schema))[:80]
        msg = f"the JSON schema is none: JSON Schema knows no {names}; fields of an object go into"
        raise ConfigError(f'{msg} {{"type": "object", "properties": {{…}}}}')
    # A registry of one's own, or jsonschema would fetch what a row's schema refers to.
    referencing = import_module("referencing")
    _check_references(schema, referencing)
    formats = jsonschema.FormatChecker(formats=_FORMATS)
    formats.checks("date-time", raises=ValueError)(_is_moment)
    formats.checks("time", raises=ValueError)(_is_time)
    return kind(schema, registry=referencing.Registry(), format_checker=formats)


def _check_references(schema: Mapping[str, object], referencing: Any) -> None:  # noqa: ANN401  a module
    contents = referencing.jsonschema.DRAFT202012.create_resource(schema)
    resolver = referencing.Registry().with_resource("", contents).crawl().resolver("")
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except referencing.exceptions.Unresolvable:
            msg = (
                f"the JSON schema refers to {reference:.200}, which is not in it; put it into $defs"
            )
            raise ConfigError(msg) from None


def _references(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for key, item in value.items():
            if key not in _VALUES:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _is_time(value: object) -> bool:
    if isinstance(value, str):
        time.fromisoformat(value)
    return True


def explained(error: ValidationError) -> str:
    """What is wrong with a value, in one line that a model can act on."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [f"{_place(item['loc'])}: {item['msg']}" for item in found[:_SHOWN]]
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    return "; ".join(said) + more


def _validated(adapter: TypeAdapter[Any], text: str) -> object:
    _loaded(text)  # stricter than pydantic, which takes NaN
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise ValueError(explained(error)) from None


def _checked(validator: Any, text: str) -> object:  # noqa: ANN401  jsonschema has no types
    value = _loaded(text)
    try:
        found = sorted(validator.iter_errors(value), key=lambda each: list(map(str, each.path)))
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None
    if found:
        said = "; ".join(f"{_place(e.path)}: {e.message}"[:300] for e in found[:_SHOWN])
        more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
        raise ValueError(said + more)
    return value


def _loaded(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None
    except ValueError as error:
        msg = f"it is not JSON: {error}"
        raise ValueError(msg) from None
    return value


def _refuse_constant(name: str) -> Never:
    msg = f"{name} is no JSON value"
    raise ValueError(msg)


def json_in(text: str) -> str:
    """The JSON in an answer: the text itself, or what stands in code fences or among words.

    What holds none comes back as it is, for an error that tells what was said.
    """
    bare = text.strip().removeprefix("\ufeff")
    if _is_json(bare):
        return bare
    for fenced in _FENCED.finditer(bare):
        if _is_json(inner := fenced[1].strip()):
            return inner
    return _among_words(bare)


def _among_words(text: str) -> str:
    """The largest object or array in a text that is not JSON itself; the text where none is.

    Of one that is cut off or broken, nothing that stands in it is taken for the whole.
    """
    decoder, found, end = json.JSONDecoder(parse_constant=_refuse_constant), "", 0
    for _ in range(_TRIES):
        opening = _OPENING.search(text, end)
        if opening is None:
            break
        try:
            _, end = decoder.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            return text
        found = max(found, text[opening.start() : end], key=len)
    return found or text


def _is_json(text: str) -> bool:
    try:
        _loaded(text)
    except ValueError:
        return False
    return True


def _untitled(value: Any, *, are_names: bool = False) -> Any:  # noqa: ANN401  any JSON value
    """Without the titles that pydantic makes of names: they cost tokens and say nothing."""
    if isinstance(value, list):
        return [_untitled(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item
        if key in _VALUES and not are_names
        else _untitled(item, are_names=not are_names and key in _NAMES)
        for key, item in value.items()
        if are_names or key != "title"
    }


def _place(steps: object) -> str:
    return ".".join(str(step) for step in steps) or "the answer"  # type: ignore[attr-defined]  # a path of either library


def _in_order(value: Any, *, are_names: bool = False, are_properties: bool = False) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: value[key]
        if key in _VALUES and not are_names
        else _in_order(
            value[key],
            are_names=not are_names and key in _NAMES,
            are_properties=not are_names and key == "properties",
        )
        for key in (value if are_properties else sorted(value, key=str))
    }


def schema_text(schema: Mapping[str, object]) -> str:
    """A JSON schema as text: equal for equal ones, with the properties in the order they have.

    Models write them in the order of the schema, so that it is a part of what is asked.
    """
    try:
        return orjson.dumps(_in_order(schema)).decode()
    except TypeError as error:
        raise ConfigError(f"the JSON schema cannot be written as JSON: {error}") from None
