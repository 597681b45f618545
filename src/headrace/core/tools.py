"""Tools that a model may call: functions of the caller's, and tools that vendors run themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import orjson

from headrace.core.errors import ConfigError

# What all APIs take (OpenAI's and Anthropic's rule).
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
NO_PARAMETERS: Final = '{"type":"object","properties":{}}'
VendorKind: TypeAlias = Literal["web_search", "code_execution", "file_search", "computer_use"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; ``schema`` is the JSON schema of its arguments.

    ``call`` is what ``run_tool_loop`` calls with the arguments; it may be async. ``strict`` asks
    OpenAI's and Anthropic's APIs to keep to the schema.
    """

    name: str
    description: str = ""
    schema: str = NO_PARAMETERS
    strict: bool | None = None
    call: Callable[..., Any] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no API would take."""
        if not isinstance(self.name, str) or not _NAME.match(self.name):
            shown = f"{self.name!r:.80}"
            msg = f"a tool's name must be 1 to 64 letters, digits, _ or -, not {shown}; rename it"
            raise ConfigError(msg)
        if isinstance(self.schema, Mapping):
            object.__setattr__(self, "schema", _as_json(self.name, self.schema))

    @property
    def parameters(self) -> dict[str, object]:
        """The JSON schema of the arguments, as a dict of your own."""
        found: dict[str, object] = orjson.loads(self.schema)
        return found

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return ["function", self.name, self.description, self.parameters, self.strict]


@dataclass(frozen=True, slots=True)
class VendorTool:
    """A tool that the vendor defines, by what it does; each API has a name of its own for it.

    ``options`` (JSON text, or a dict) go into the tool's object as they are. With ``type`` among
    them the object is sent word for word, to whatever API the request goes.
    """

    kind: VendorKind | str
    options: str = "{}"

    def __post_init__(self) -> None:
        """Keep the options as text, so that the value can be hashed."""
        if isinstance(self.options, Mapping):
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


def _as_json(name: str, value: Mapping[str, object]) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        msg = f"what the tool {name} is given cannot be written as JSON: {error}"
        raise ConfigError(msg) from None
