"""Tools that a model may call: functions of the caller's, and tools that vendors run themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import orjson

from headrace.core import functions
from headrace.core.errors import ConfigError
from headrace.core.plain import kind_of
from headrace.core.schema import schema_text

# What all APIs take (OpenAI's and Anthropic's rule).
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
NO_PARAMETERS: Final = '{"properties":{},"type":"object"}'
VendorKind: TypeAlias = Literal["web_search", "code_execution", "file_search", "computer_use"]
# Under which name the schema of the arguments stands: OpenAI's, Anthropic's, MCP's.
_SCHEMAS: Final = ("parameters", "input_schema", "inputSchema")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; ``schema`` is the JSON schema of its arguments.

    ``call`` is what ``run_tool_loop`` calls with the arguments by name; it may be async. Without
    one the loop leaves the call to you. ``read`` makes the arguments of the call's JSON text, or
    raises ``ValueError`` with what is wrong. ``strict`` asks OpenAI's and Anthropic's APIs to keep
    to the schema.
    """

    name: str
    description: str = ""
    schema: str = NO_PARAMETERS
    strict: bool | None = None
    call: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    read: Callable[[str], dict[str, Any]] = field(
        default=functions.an_object, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        """Refuse what no API would take."""
        if not isinstance(self.name, str) or not _NAME.match(self.name):
            shown = f"{self.name!r:.80}"
            msg = f"a tool's name must be 1 to 64 letters, digits, _ or -, not {shown}; rename it"
            raise ConfigError(msg)
        if not isinstance(self.description, str):
            shown = kind_of(self.description)
            raise ConfigError(f"the description of the tool {self.name} must be text, not {shown}")
        if self.call is not None and not callable(self.call):
            shown = kind_of(self.call)
            raise ConfigError(f"the call of the tool {self.name} must be a function, not {shown}")
        object.__setattr__(self, "schema", schema_text(_object(self.name, self.schema)))

    @classmethod
    def of(cls, given: object) -> AnyTool:
        """A tool from a function, a type, or a dict as OpenAI, Anthropic or MCP write it.

        The types and the docstring of a function become its schema and description; so do those of
        a pydantic model, a dataclass or a TypedDict, which have nothing to call. Raises
        ``ConfigError`` for what is no tool.
        """
        if isinstance(given, Tool | VendorTool):
            return given
        if isinstance(given, Mapping):
            return _of_dict(given)
        if not callable(given):
            msg = f"a tool is a function, a type, a Tool or a dict, not {kind_of(given)}"
            raise ConfigError(msg)
        found = functions.signature_of(given)
        schema = schema_text(found.schema)
        return cls(found.name, found.description, schema, None, found.call, found.read)

    @property
    def parameters(self) -> dict[str, object]:
        """The JSON schema of the arguments, as a dict of your own."""
        found: dict[str, object] = orjson.loads(self.schema)
        return found

    def canonical(self) -> list[object]:
        """What keys are made of; the schema as text, since keys sort all names."""
        return ["function", self.name, self.description, self.schema, self.strict]


@dataclass(frozen=True, slots=True)
class VendorTool:
    """A tool that the vendor defines, by what it does; each API has a name of its own for it.

    ``options`` (JSON text, or a dict) go into the tool's object as they are. With ``type`` among
    them the object is sent word for word, to whatever API the request goes. ``call`` is what
    ``run_tool_loop`` calls for what the vendor leaves to the caller, such as the actions of
    computer use, with the fields of the call's JSON by name; without one the call is yours.
    """

    kind: VendorKind | str
    options: str = "{}"
    call: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    read: Callable[[str], dict[str, Any]] = field(
        default=functions.an_object, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        """Keep the options as text, so that the value can be hashed."""
        object.__setattr__(self, "options", _as_json(self.kind, self.options))

    @property
    def settings(self) -> dict[str, object]:
        """The options, as a dict of your own."""
        found: dict[str, object] = orjson.loads(self.options)
        return found

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return ["vendor", self.kind, self.settings]


AnyTool: TypeAlias = Tool | VendorTool


def read_tools(given: object) -> tuple[AnyTool, ...]:
    """Tools in any accepted form; raises ``ConfigError`` for what is none, and for equal names."""
    if given is None:
        return ()
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        raise ConfigError(f"tools must be a list of tools, not {kind_of(given)}")
    tools = tuple(Tool.of(each) for each in given)
    names = [tool.name for tool in tools if isinstance(tool, Tool)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two tools are called {name}; give one of them another name")
    return tools


def _of_dict(given: Mapping[str, object]) -> AnyTool:
    inner = given.get("function")
    found = inner if isinstance(inner, Mapping) else given
    name = found.get("name")
    schema = next((found[key] for key in _SCHEMAS if isinstance(found.get(key), Mapping)), None)
    kind = given.get("type")
    if isinstance(kind, str) and kind not in {"function", "custom"}:
        return VendorTool(kind, _as_json(kind, given))
    if not isinstance(name, str):
        msg = 'a tool dict needs a "name", and the schema of its arguments under "parameters"'
        raise ConfigError(msg)
    strict = found.get("strict")
    return Tool(
        name,
        str(found.get("description") or ""),
        NO_PARAMETERS if schema is None else schema_text(_object(name, schema)),
        strict if isinstance(strict, bool) else None,
    )


def _as_json(name: str, value: object) -> str:
    """An object as JSON text with sorted keys, so that equal ones are equal."""
    return orjson.dumps(_object(name, value), option=orjson.OPT_SORT_KEYS).decode()


def _object(name: str, value: object) -> dict[str, object]:
    """An object that can be written as JSON."""
    try:
        found = orjson.loads(value) if isinstance(value, str) else value
        if isinstance(found, Mapping):
            orjson.dumps(made := dict(found))
            return made
    except (TypeError, ValueError) as error:
        msg = f"what the tool {name} is given cannot be written as JSON: {error}"
        raise ConfigError(msg) from None
    raise ConfigError(f"what the tool {name} is given must be a JSON object, not {kind_of(value)}")
