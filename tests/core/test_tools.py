"""Tools: what a function or a type says of itself, and what its arguments become."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from headrace import ConfigError, RequestContext, Tool, VendorTool
from headrace.core.docstrings import read_docstring
from headrace.core.tools import read_tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from nowhere import Forecast  # type: ignore[import-not-found]  # no function may trip over it


class Unit(enum.Enum):
    C = "c"
    F = "f"


@dataclass
class Place:
    """Where."""

    city: str
    country: str = "NO"


class Node(BaseModel):
    """A tree."""

    title: str
    children: list[Node] = []


class Row(TypedDict):
    a: int


def weather(
    city: str,
    unit: Literal["c", "f"] = "c",
    *,
    place: Place | None = None,
    tree: Node | None = None,
    schema: dict[str, int] | None = None,
    tags: list[str] = Field(default_factory=list),  # noqa: B008  a way to write a default
    scale: Unit = Unit.C,
    _days: Annotated[int, Field(ge=1, description="its own")] = 3,
) -> Forecast:
    """Say the weather: now.

    Or
    later: yes.

    Args:
        city: Where it
            is: a name.
        unit (str, optional): Which unit.
        _days: not this one.

    Returns:
        place: no argument.
    """
    return (city, unit, place, tree, schema, tags, scale, _days)


def fields(tool: object) -> dict[str, dict[str, object]]:
    assert isinstance(tool, Tool)
    found = tool.parameters["properties"]
    assert isinstance(found, dict)
    return found


def read(given: object, text: str) -> dict[str, Any]:
    tool = Tool.of(given)
    assert isinstance(tool, Tool)
    return tool.read(text)


def test_a_function_says_what_it_takes() -> None:
    tool = Tool.of(weather)
    assert isinstance(tool, Tool)
    assert (tool.name, tool.call) == ("weather", weather)
    assert tool.description == "Say the weather: now. Or later: yes."
    about = fields(tool)
    assert about["city"] == {"type": "string", "description": "Where it is: a name."}
    assert about["unit"] == {
        "type": "string",
        "enum": ["c", "f"],
        "default": "c",
        "description": "Which unit.",
    }
    assert about["_days"]["description"] == "its own"
    assert about["_days"]["minimum"] == 1
    assert "description" not in about["place"]
    assert about["scale"] == {"$ref": "#/$defs/Unit", "default": "c"}
    assert tool.parameters["required"] == ["city"]
    assert tool.parameters["additionalProperties"] is False


def test_a_recursive_type_keeps_its_definitions_and_a_field_called_title() -> None:
    schema = Tool.of(weather).parameters  # type: ignore[union-attr]  # a Tool, as above
    node = schema["$defs"]["Node"]  # type: ignore[index]  # a dict
    assert node["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert node["properties"]["title"] == {"type": "string"}


def test_arguments_come_as_their_types_and_with_the_functions_defaults() -> None:
    text = '{"city": "Oslo", "place": {"city": "Bergen"}, "schema": {"a": 1}, "scale": "f"}'
    assert read(weather, text) == {
        "city": "Oslo",
        "unit": "c",
        "place": Place("Bergen"),
        "tree": None,
        "schema": {"a": 1},
        "tags": [],
        "scale": Unit.F,
        "_days": 3,
    }


WRONG: Final = {
    '{"city": 1}': "city: Input should be a valid string",
    "{}": "city: Field required",
    '{"city": "O", "_days": 0}': "_days: Input should be greater than or equal to 1",
    '{"city": "O", "town": 1}': "town: Extra inputs are not permitted",
    '{"city": NaN}': "the arguments are not JSON",
    '["Oslo"]': "the arguments must be a JSON object",
    '{"city": "O"': "the arguments are not JSON",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_arguments_are_said_to_the_model(text: str) -> None:
    with pytest.raises(ValueError, match=WRONG[text]):
        read(weather, text)


class Desk:
    """A desk."""

    def ask(self, question: str) -> str:
        """Ask it.

        :param str question: what is
            asked
        :returns: question: nothing
        """
        return question

    @classmethod
    def made(cls, size: int) -> str:
        return f"{cls.__name__} {size}"

    @staticmethod
    def nothing() -> None:
        """Do nothing."""

    def __call__(self, question: str) -> str:
        return question


def add(left: int, right: int = 2) -> int:
    """Add.

    Parameters
    ----------
    left, right : int, optional
        What is
        added.

    Returns
    -------
    left
        The sum.
    """
    return left + right


def wrapped(function: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(function)
    def call(*args: object, **options: object) -> object:
        return function(*args, **options)

    return call


async def later(left: int) -> int:
    """Add, later."""
    return left


def anything(first, **more):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN201  what is under test
    return first, more


SUM: Final = "What is added."
CALLABLES: Final[dict[str, tuple[Any, str, str, dict[str, str | None]]]] = {
    "method": (Desk().ask, "ask", "Ask it.", {"question": "what is asked"}),
    "class method": (Desk.made, "made", "", {"size": None}),
    "static method": (Desk.nothing, "nothing", "Do nothing.", {}),
    "object": (Desk(), "Desk", "A desk.", {"question": None}),
    "numpy": (add, "add", "Add.", {"left": SUM, "right": SUM}),
    "wrapped": (wrapped(add), "add", "Add.", {"left": SUM, "right": SUM}),
    "partial": (functools.partial(add, right=5), "add", "Add.", {"left": SUM}),
    "partial, by position": (functools.partial(add, 5), "add", "Add.", {"right": SUM}),
    "async": (later, "later", "Add, later.", {"left": None}),
    "lambda": (lambda a: a, "_lambda_", "", {"a": None}),
    "no annotations": (anything, "anything", "", {"first": None}),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_every_kind_of_callable_is_a_tool(name: str) -> None:
    given, called, said, arguments = CALLABLES[name]
    tool = Tool.of(given)
    assert isinstance(tool, Tool)
    assert (tool.name, tool.description, tool.call) == (called, said, given)
    assert {key: about.get("description") for key, about in fields(tool).items()} == arguments


def test_what_is_bound_is_not_shown_to_the_model() -> None:
    tool = Tool.of(functools.partial(add, right=77))
    assert isinstance(tool, Tool)
    assert "77" not in tool.schema
    assert tool.call is not None
    assert tool.call(**tool.read('{"left": 1}')) == 78


def test_further_arguments_are_handed_on_where_a_function_takes_them() -> None:
    assert read(anything, '{"first": 1, "b": [2]}') == {"first": 1, "b": [2]}


def test_a_default_that_is_no_json_stands_in_no_schema() -> None:
    marker = object()

    def find(a: object = marker) -> None: ...

    assert fields(Tool.of(find)) == {"a": {}}
    assert read(find, "") == {"a": marker}


@pytest.mark.parametrize(
    ("kind", "said", "text", "values"),
    [
        (Node, "A tree.", '{"title": "x"}', {"title": "x", "children": []}),
        (Place, "Where.", '{"city": "x"}', {"city": "x", "country": "NO"}),
        (Row, "", '{"a": 1}', {"a": 1}),
    ],
)
def test_a_type_is_a_tool_that_the_caller_answers(
    kind: type, said: str, text: str, values: dict[str, Any]
) -> None:
    tool = Tool.of(kind)
    assert isinstance(tool, Tool)
    assert (tool.name, tool.description, tool.call) == (kind.__name__, said, None)
    assert tool.parameters["type"] == "object"
    assert tool.read(text) == values
    with pytest.raises(ValueError, match="required"):
        tool.read("{}")


REFUSED: Final[dict[str, tuple[Any, str]]] = {
    "a built-in": (print, "the tool print takes args by position"),
    "positions": (lambda *a: a, "takes a by position"),
    "a type without fields": (int, "int is no object with fields"),
    "no callable": (5, "a tool is a function, a type, a Tool or a dict, not int"),
    "a name": ({"name": "a b"}, "a tool's name must be 1 to 64 letters"),
    "an empty name": ({"name": ""}, "a tool's name must be 1 to 64 letters"),
    "no name": ({"parameters": {}}, 'a tool dict needs a "name"'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_tool_is_refused_with_a_remedy(name: str) -> None:
    given, said = REFUSED[name]
    with pytest.raises(ConfigError, match=said):
        Tool.of(given)


def test_a_type_that_cannot_be_found_is_named() -> None:
    def find(a: Forecast) -> None: ...

    with pytest.raises(ConfigError, match="the tool find have no JSON schema: name 'Forecast'"):
        Tool.of(find)


SCHEMA: Final = {
    "type": "object",
    "properties": {"b": {"type": "string"}, "a": {"type": "integer"}},
}
DICTS: Final[dict[str, dict[str, Any]]] = {
    "OpenAI Chat": {
        "type": "function",
        "function": {"name": "f", "description": "d", "parameters": SCHEMA},
    },
    "OpenAI Responses": {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA},
    "Anthropic": {"name": "f", "description": "d", "input_schema": SCHEMA},
    "MCP": {"name": "f", "description": "d", "inputSchema": SCHEMA},
}


@pytest.mark.parametrize("name", DICTS)
def test_dicts_of_all_dialects_are_the_same_tool(name: str) -> None:
    turned = dict(reversed(SCHEMA.items()))
    same = Tool("f", "d", turned)  # type: ignore[arg-type]  # a dict is taken, too
    assert Tool.of(DICTS[name]) == same
    assert hash(Tool.of(DICTS[name])) == hash(same)
    asked = [RequestContext(prompt="p", tools=tools) for tools in ((same,), (DICTS[name],))]  # type: ignore[arg-type]  # read when it is made
    assert asked[0].cache_key == asked[1].cache_key


def test_a_vendors_tool_goes_through_as_it_is() -> None:
    given = {"type": "computer_use_preview", "display_width": 1024}
    assert Tool.of(given) == VendorTool("computer_use_preview", given)  # type: ignore[arg-type]  # a dict is taken, too
    assert VendorTool("web_search").settings == {}


def test_a_schema_that_is_no_object_is_refused_when_it_is_given() -> None:
    for wrong in ("no JSON", "[]", {"a": object()}):
        with pytest.raises(ConfigError, match="what the tool f is given"):
            Tool("f", schema=wrong)  # type: ignore[arg-type]  # what is under test


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tools are called add"):
        read_tools([add, wrapped(add)])


def test_a_docstring_without_sections_is_all_description() -> None:
    assert read_docstring("One\n\nTwo: three\n    four") == ("One Two: three four", {})
