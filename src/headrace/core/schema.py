"""What an answer has to look like: a JSON schema, and how a text becomes a value of it.

The door to jsonschema (extra "schema"), which checks answers to schemas that are no Python types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Final

import orjson
from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from headrace.core.errors import ConfigError

_SHOWN: Final = 3
_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
# What models put around JSON that they were asked for in words.
_FENCED: Final = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The shape that is asked for. Two are equal when their names and JSON schemas are.

    ``parse`` makes a value of an answer's text, or raises ``ValueError`` with what is wrong.
    """

    name: str
    json: str
    parse: Callable[[str], object] = field(compare=False, repr=False)

    @classmethod
    def of(cls, kind: Any) -> OutputSchema:  # noqa: ANN401  any type has a schema, or is refused
        """The schema of a pydantic model, dataclass, TypedDict or other type, or a JSON schema.

        Raises ``ConfigError`` for what has none, and for a JSON schema without the extra "schema".
        """
        if isinstance(kind, OutputSchema):
            return kind
        if isinstance(kind, Mapping):
            return _of_json(kind)
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(kind)
            schema = adapter.json_schema()
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            said = str(error).partition("\n")[0]
            msg = f"output_schema must be a type or a JSON schema, not {kind!r:.80} ({said})"
            raise ConfigError(msg) from None
        name = getattr(kind, "__name__", None) or "answer"
        return cls(_named(name), _text(schema), partial(_validated, adapter))

    @property
    def schema(self) -> dict[str, object]:
        """The JSON schema, as a dict of your own."""
        found: dict[str, object] = orjson.loads(self.json)
        return found

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return ["schema", self.schema]


def _of_json(given: Mapping[str, object]) -> OutputSchema:
    """A JSON schema, also in the wrapping that OpenAI's ``response_format`` has."""
    wrapped = given.get("json_schema") if given.get("type") == "json_schema" else None
    inner = wrapped.get("schema") if isinstance(wrapped, Mapping) else None
    schema = inner if isinstance(inner, Mapping) else given
    name = wrapped.get("name") if isinstance(wrapped, Mapping) else schema.get("title")
    validator = validator_of(schema)
    return OutputSchema(_named(str(name or "answer")), _text(schema), partial(_checked, validator))


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
        raise ConfigError(f"the JSON schema is none: {error.message}") from None
    return kind(schema)


def explained(error: ValidationError) -> str:
    """What is wrong with a value, in one line that a model can act on."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [f"{_place(item['loc'])}: {item['msg']}" for item in found[:_SHOWN]]
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    return "; ".join(said) + more


def _validated(adapter: TypeAdapter[Any], text: str) -> object:
    try:
        return adapter.validate_json(json_in(text))
    except ValidationError as error:
        raise ValueError(explained(error)) from None


def _checked(validator: Any, text: str) -> object:  # noqa: ANN401  jsonschema has no types
    try:
        value: object = json.loads(json_in(text))
    except ValueError as error:
        msg = f"it is not JSON: {error}"
        raise ValueError(msg) from None
    found = sorted(validator.iter_errors(value), key=lambda each: list(map(str, each.path)))
    if found:
        raise ValueError("; ".join(f"{_place(e.path)}: {e.message}"[:300] for e in found[:_SHOWN]))
    return value


def json_in(text: str) -> str:
    """The JSON in an answer: the text itself, or what stands between its code fences."""
    bare = text.strip()
    if bare[:1] in {"{", "["} or "```" not in bare:
        return bare
    fenced = _FENCED.search(bare)
    return fenced[1] if fenced else bare


def _place(steps: object) -> str:
    return ".".join(str(step) for step in steps) or "the answer"  # type: ignore[attr-defined]  # a path of either library


def _named(name: str) -> str:
    return _NAME.sub("_", name)[:64] or "answer"


def _text(schema: Mapping[str, object]) -> str:
    try:
        return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise ConfigError(f"the JSON schema cannot be written as JSON: {error}") from None
