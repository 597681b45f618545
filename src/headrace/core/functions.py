"""What a Python function, or a pydantic model, says of itself: name, description, arguments."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo

from headrace.core.errors import ConfigError
from headrace.core.schema import explained

if TYPE_CHECKING:
    from collections.abc import Callable

_ODD: Final = re.compile(r"[^A-Za-z0-9_-]+")
# Google's "Args:" and NumPy's "Parameters" with a line under it, to the next heading.
_SECTION: Final = re.compile(
    r"^(?:Args|Arguments|Parameters):?[ ]*\n(?P<numpy>-+\n)?"
    r"(?P<body>(?:[ \t]+.*\n?|\n|\w+ ?:.*\n?)*)",
    re.MULTILINE,
)
_ENTRY: Final = re.compile(r"^[ \t]*(?P<name>\*{0,2}\w+)[ ]*(?:\([^)]*\))?[ ]*:[ ]*(?P<said>.*)$")
_SPHINX: Final = re.compile(
    r"^[ \t]*:param(?: [^:]+)? (?P<name>\w+):[ ]*(?P<said>.*)$", re.MULTILINE
)
# Where names stand for keys, and where a value is the caller's own.
_NAMES: Final = frozenset({"properties", "$defs"})
_VALUES: Final = frozenset({"default", "const", "enum", "examples"})
_NO_NAME: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


class Signature(NamedTuple):
    """What a tool is made of."""

    name: str
    description: str
    schema: dict[str, Any]
    call: Callable[..., Any]
    read: Callable[[str], dict[str, Any]]


def signature_of(given: Callable[..., Any]) -> Signature:
    """Read a function or a pydantic model; raises ``ConfigError`` where a type has no schema."""
    name = _ODD.sub("_", getattr(given, "__name__", type(given).__name__))[:64]
    if isinstance(given, type) and issubclass(given, BaseModel):
        described = inspect.cleandoc(given.__doc__) if given.__doc__ else ""
        return Signature(
            name, described, _untitled(given.model_json_schema()), given, _reader(given)
        )
    text = inspect.getdoc(given) or ""
    arguments = _arguments(name, given, _described(text))
    head = text.split("\n\n", 1)[0] if _SECTION.search(text) or _SPHINX.search(text) else text
    schema = _untitled(arguments.model_json_schema())
    return Signature(name, " ".join(head.split()), schema, given, _reader(arguments))


def an_object(text: str) -> dict[str, Any]:
    """The arguments in a call's JSON text; raises ``ValueError`` where they are no object."""
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        msg = f"the arguments are not JSON: {error}"
        raise ValueError(msg) from None
    if not isinstance(value, dict):
        msg = "the arguments must be a JSON object"
        raise ValueError(msg)  # noqa: TRY004  one kind of error for all that is wrong with them
    return value


def _arguments(name: str, given: Callable[..., Any], said: dict[str, str]) -> type[BaseModel]:
    """A model with a field for each parameter."""
    fields: dict[str, Any] = {}
    try:
        found = inspect.signature(given, eval_str=True)
        for each in found.parameters.values():
            if each.kind in _NO_NAME:
                msg = f"the tool {name} takes {each.name} by position; give all arguments names"
                raise ConfigError(msg)
            if each.kind is not inspect.Parameter.VAR_KEYWORD:
                kind = Any if each.annotation is each.empty else each.annotation
                default = ... if each.default is each.empty else each.default
                about = FieldInfo(default=default, description=said.get(each.name) or None)
                fields[each.name] = (kind, about)
        model: type[BaseModel] = create_model(name, **fields)
        TypeAdapter(model).json_schema()
    except (NameError, TypeError, PydanticSchemaGenerationError, PydanticUserError) as error:
        said_first = str(error).partition("\n")[0]
        msg = f"the arguments of the tool {name} have no JSON schema: {said_first}; annotate them"
        raise ConfigError(msg) from None
    return model


def _reader(model: type[BaseModel]) -> Callable[[str], dict[str, Any]]:
    def read(text: str) -> dict[str, Any]:
        try:
            made = model.model_validate_json(text or "{}")
        except ValidationError as error:
            raise ValueError(explained(error)) from None
        return {name: getattr(made, name) for name in type(made).model_fields}

    return read


def _described(text: str) -> dict[str, str]:
    """What a docstring says of each argument, in Google's, NumPy's or Sphinx's way."""
    said = {found["name"]: found["said"].strip() for found in _SPHINX.finditer(text)}
    section = _SECTION.search(text)
    last = ""
    for line in section["body"].splitlines() if section else ():
        entry = _ENTRY.match(line)
        if entry:
            last = entry["name"].lstrip("*")
            said[last] = "" if section and section["numpy"] else entry["said"].strip()
        elif last and line.strip():
            said[last] = f"{said[last]} {line.strip()}".strip()
    return said


def _untitled(value: Any, *, are_names: bool = False) -> Any:  # noqa: ANN401  any JSON value
    """Without the titles that pydantic makes of names: they cost tokens and say nothing."""
    if isinstance(value, list):
        return [_untitled(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item if key in _VALUES else _untitled(item, are_names=not are_names and key in _NAMES)
        for key, item in value.items()
        if are_names or key != "title"
    }
