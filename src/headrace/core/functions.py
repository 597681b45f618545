"""What a function, or a type, says of itself as a tool: name, description, arguments."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo

from headrace.core.docstrings import read_docstring
from headrace.core.errors import ConfigError
from headrace.core.made import Made
from headrace.core.schema import explained, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable

# What a function returns may name what is imported for type checkers only; before 3.14 that is met
# by evaluating no annotation but those of arguments.
_LAZILY: Final[dict[str, Any]] = (
    {"annotation_format": import_module("annotationlib").Format.FORWARDREF}
    if sys.version_info >= (3, 14)
    else {}
)
_ODD: Final = re.compile(r"[^A-Za-z0-9_-]+")
_NO_NAME: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
# What annotations that cannot be evaluated, or have no schema, raise.
_NO_SCHEMA: Final = (
    AttributeError,
    NameError,
    PydanticSchemaGenerationError,
    PydanticUserError,
    SyntaxError,
    TypeError,
    ValueError,
)


class Signature(NamedTuple):
    """What a tool is made of; a type has nothing to call."""

    name: str
    description: str
    schema: dict[str, Any]
    call: Callable[..., Any] | None
    read: Callable[[str], dict[str, Any]]


def signature_of(given: Callable[..., Any]) -> Signature:
    """Read a function, or a type; raises ``ConfigError`` where something has no schema."""
    plain = _plain(given)
    name = _ODD.sub("_", getattr(plain, "__name__", "") or type(plain).__name__)[:64]
    try:
        if isinstance(given, type):
            return _of_type(name, given)
        return _of_function(name, given, _function(plain))
    except ConfigError:
        raise
    except _NO_SCHEMA as error:
        said = str(error).partition("\n")[0]
        msg = f"the arguments of the tool {name} have no JSON schema: {said}; annotate them"
        raise ConfigError(msg) from None


def an_object(text: str) -> dict[str, Any]:
    """The arguments in a call's JSON text; raises ``ValueError`` where they are no object."""
    try:
        value = orjson.loads(text if text.strip() else "{}")
    except orjson.JSONDecodeError as error:
        msg = f"the arguments are not JSON: {error}"
        raise ValueError(msg) from None
    if not isinstance(value, dict):
        msg = "the arguments must be a JSON object"
        raise ValueError(msg)  # noqa: TRY004  one kind of error for all that is wrong with them
    return value


def _of_type(name: str, given: type) -> Signature:
    """A pydantic model, dataclass or TypedDict: its fields are the arguments."""
    adapter: TypeAdapter[Any] = TypeAdapter(given)
    schema = schema_of(adapter)
    if schema.get("type") != "object":
        msg = f"{name} is no object with fields"
        raise TypeError(msg)
    said = "" if _is_without_words(given) else inspect.cleandoc(given.__doc__ or "")
    read = Made(_reader_of, given, partial(_read, adapter, _fields))
    return Signature(name, said, schema, None, read)


def _is_without_words(given: type) -> bool:
    """Is its docstring the one that dataclasses make, or that of a class above it?"""
    made = is_dataclass(given) and (given.__doc__ or "").startswith(f"{given.__name__}(")
    return made or "__doc__" not in vars(given)


def _fields(made: Any) -> dict[str, Any]:  # noqa: ANN401  a value of the caller's own type
    if is_dataclass(made):
        return {each.name: getattr(made, each.name) for each in fields(made)}
    return dict(made)


def _of_function(name: str, given: Callable[..., Any], function: Callable[..., Any]) -> Signature:
    text = inspect.getdoc(_plain(given)) or ""
    if function is inspect.unwrap(getattr(type(_plain(given)), "__call__", given)):  # noqa: B004  its own docstring is wanted
        text = inspect.cleandoc(function.__doc__ or type(_plain(given)).__doc__ or "")
    head, said = read_docstring(text)
    model = _model(name, given, function, said)
    names = {str(about.alias): field for field, about in model.model_fields.items()}

    def arguments(made: BaseModel) -> dict[str, Any]:
        own = {name: getattr(made, field) for name, field in names.items()}
        return own | (made.model_extra or {})

    adapter: TypeAdapter[Any] = TypeAdapter(model)
    read = Made(_reader_of, given, partial(_read, adapter, arguments))
    return Signature(name, head, schema_of(adapter), given, read)


def _reader_of(given: Callable[..., Any]) -> Callable[[str], dict[str, Any]]:
    return signature_of(given).read


def _model(
    name: str, given: Callable[..., Any], function: Callable[..., Any], said: dict[str, str]
) -> type[BaseModel]:
    """A model with a field for each parameter that is not bound already."""
    bound = given.keywords if isinstance(given, partial) else {}
    made: dict[str, Any] = {}
    extra: Any = "forbid"
    for each in inspect.signature(given, **_LAZILY).parameters.values():
        if each.kind in _NO_NAME:
            msg = f"the tool {name} takes {each.name} by position; give all arguments names"
            raise ConfigError(msg)
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            extra = "allow"
        elif each.name not in bound:
            # Names of their own, since "schema" or "_id" could be no field's name.
            made[f"argument_{len(made)}"] = _field(each, function, said.get(each.name))
    return create_model(name, __config__=ConfigDict(extra=extra), **made)


def _field(
    each: inspect.Parameter, function: Callable[..., Any], said: str | None
) -> tuple[object, object]:
    """Type and default; a description in the annotation, or of a ``Field``, comes first."""
    kind, default = _evaluated(each.annotation, function), each.default
    about: dict[str, Any] = {"alias": each.name}
    given = [*getattr(kind, "__metadata__", ()), default]
    if said and not any(isinstance(m, FieldInfo) and m.description for m in given):
        about["description"] = said
    if default is each.empty:
        default = ...
    elif not isinstance(default, FieldInfo) and not _is_json(default):
        default = Field(default_factory=partial(_same, default))
    return Annotated[kind, Field(**about)], default


def _same(value: object) -> object:
    """What stands in no schema, since it is no JSON."""
    return value


def _evaluated(annotation: Any, function: Callable[..., Any]) -> Any:  # noqa: ANN401  any type
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    return eval(annotation, getattr(function, "__globals__", {}))  # noqa: S307  the function's own source, as inspect.signature does it


def _plain(given: Any) -> Any:  # noqa: ANN401  any callable
    """What has the name: not a partial."""
    while isinstance(given, partial):
        given = given.func
    return given


def _function(given: Any) -> Any:  # noqa: ANN401  any callable
    """What has the docstring and the globals: below methods, wrappers and objects with a call."""
    if not inspect.isroutine(given):
        given = type(given).__call__
    return inspect.unwrap(getattr(given, "__func__", given))


def _is_json(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _read(
    adapter: TypeAdapter[Any], unpack: Callable[[Any], dict[str, Any]], text: str
) -> dict[str, Any]:
    an_object(text)  # stricter than pydantic, which takes NaN
    try:
        made = adapter.validate_json(text if text.strip() else "{}")
    except ValidationError as error:
        raise ValueError(explained(error)) from None
    return unpack(made)
