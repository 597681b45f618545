"""What an answer has to look like, and how its text becomes a value."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import pytest
from pydantic import BaseModel, field_validator

from headrace import ConfigError, OutputSchema
from headrace.core.schema import json_in

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # pydantic asks for this one there
    from typing_extensions import TypedDict


class City(BaseModel):
    name: str
    people: int

    @field_validator("people")
    @classmethod
    def _some(cls, value: int) -> int:
        if value < 1:
            msg = "nobody lives there"
            raise ValueError(msg)
        return value


@dataclass
class Point:
    x: int
    y: int = 0


class Row(TypedDict):
    title: str


class Dog(BaseModel):
    kind: Literal["dog"]


class Cat(BaseModel):
    kind: Literal["cat"]


class Node(BaseModel):
    children: list[Node] = []


OSLO: Final = City(name="Oslo", people=700_000)
TEXT: Final = '{"name": "Oslo", "people": 700000}'
VALUES: Final[dict[str, tuple[Any, str, object]]] = {
    "model": (City, TEXT, OSLO),
    "dataclass": (Point, '{"x": 1}', Point(1)),
    "TypedDict": (Row, '{"title": "t"}', {"title": "t"}),
    "recursion": (Node, '{"children": [{}]}', Node(children=[Node()])),
    "list": (list[int], '{"value": [1, 2]}', [1, 2]),
    "list, bare": (list[int], "[1, 2]", [1, 2]),
    "list of models": (list[City], f'{{"value": [{TEXT}]}}', [OSLO]),
    "union": (Dog | Cat, '{"value": {"kind": "cat"}}', Cat(kind="cat")),
    "union, bare": (Dog | Cat, '{"kind": "dog"}', Dog(kind="dog")),
    "literal": (Literal["a", "b"], '{"value": "a"}', "a"),
    "bool": (bool, "true", True),
    "any mapping": (dict[str, int], '{"value": 1}', {"value": 1}),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_text_becomes_a_value_of_the_type(name: str) -> None:
    kind, text, value = VALUES[name]
    assert OutputSchema.of(kind).parse(text) == value


@pytest.mark.parametrize("name", VALUES)
def test_every_schema_is_an_object_at_the_top_without_titles(name: str) -> None:
    schema = OutputSchema.of(VALUES[name][0]).schema
    assert schema["type"] == "object"
    assert "$ref" not in schema
    assert '"title":"' not in json.dumps(schema, separators=(",", ":"))


def test_definitions_stay_where_references_find_them() -> None:
    schema: Any = OutputSchema.of(list[Node]).schema
    assert schema["properties"]["value"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}


AROUND: Final = {
    "fence": f"```json\n{TEXT}\n```",
    "fence without a name": f"```\n{TEXT}\n```",
    "words and a fence": f"Here it is:\n\n```json\n{TEXT}\n```\nAnything else?",
    "the fence that holds JSON": f"```python\nx = 1\n```\n```json\n{TEXT}\n```",
    "words": f"Sure! The city [see below] is {TEXT}, as of {{today}}.",
    "a reference": f"See [1]. {TEXT}",
    "space and a mark": f"\ufeff \n{TEXT}\n",
}


@pytest.mark.parametrize("name", AROUND)
def test_json_is_found_in_what_stands_around_it(name: str) -> None:
    assert OutputSchema.of(City).parse(AROUND[name]) == OSLO


@pytest.mark.parametrize(
    "text", ['{"a": [1, 2], "b": 3', 'Sure: {"a": {"b": 1}, "c', "```json\n[[1]", ""]
)
def test_a_piece_of_what_is_cut_off_is_not_taken_for_the_whole(text: str) -> None:
    assert json_in(text) == text


def test_a_fence_within_a_string_stays_where_it_is() -> None:
    text = json.dumps({"title": "```json\n{}\n```"})
    assert OutputSchema.of(Row).parse(text) == {"title": "```json\n{}\n```"}


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (City, "Oslo", "it is not JSON"),
        (City, '{"name": "Oslo"}', "people: Field required"),
        (City, '{"name": "X", "people": 0}', "people: Value error, nobody lives there"),
        (dict[str, float], '{"a": NaN}', "it is not JSON: NaN"),
        (dict[str, float], '{"a": -Infinity}', "it is not JSON: -Infinity"),
        (list[int], '{"value": ["a"]}', "0: Input should be a valid integer"),
        (list[int], '["a", "b", "c", "d", "e"]', r"\(and 2 more\)"),
        (City, "[" * 100_000, "nested too deeply"),
        (dict[str, int], '{"a": ' + "9" * 5000 + "}", "it is not JSON"),
    ],
)
def test_what_does_not_fit_is_said(kind: object, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OutputSchema.of(kind).parse(text)


def test_a_large_answer_is_read() -> None:
    rows = [{"name": "x" * 1000, "people": 1}] * 3000
    assert len(OutputSchema.of(list[City]).parse(json.dumps(rows))) == 3000  # type: ignore[arg-type]  # a list


JSON_SCHEMA: Final[dict[str, Any]] = {
    "title": "Trip",
    "type": "object",
    "properties": {
        "on": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "stops": {"type": "array", "items": {"$ref": "#/$defs/stop"}},
    },
    "required": ["on"],
    "$defs": {"stop": {"enum": ["a", "b"]}},
}


def test_a_json_schema_checks_answers() -> None:
    schema = OutputSchema.of(JSON_SCHEMA)
    assert (schema.name, schema.schema) == ("Trip", JSON_SCHEMA)
    text = '{"on": "2024-02-29", "at": "2024-02-29T10:00:00Z", "stops": ["a"]}'
    assert schema.parse(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "'on' is a required property"),
        ('{"on": "2023-02-29"}', "on: '2023-02-29' is not a 'date'"),
        ('{"on": "2024-02-29", "at": "2024-02-29 10:00"}', "at: .* is not a 'date-time'"),
        ('{"on": "2024-02-29", "stops": ["c"]}', r"stops.0: 'c' is not one of \['a', 'b'\]"),
        ('{"on": NaN}', "it is not JSON: NaN"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ],
)
def test_what_does_not_fit_a_json_schema_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OutputSchema.of(JSON_SCHEMA).parse(text)


def test_openai_wrapping_is_taken_off() -> None:
    given = {
        "type": "json_schema",
        "json_schema": {"name": "t", "strict": True, "schema": JSON_SCHEMA},
    }
    flat = {"type": "json_schema", "name": "t", "strict": True, "schema": JSON_SCHEMA}
    assert OutputSchema.of(given) == OutputSchema.of(flat)
    assert (OutputSchema.of(given).name, OutputSchema.of(given).schema) == ("t", JSON_SCHEMA)


def test_a_json_schema_of_a_list_is_asked_for_as_an_object() -> None:
    schema = OutputSchema.of({"type": "array", "items": {"type": "integer"}})
    assert schema.schema["required"] == ["value"]
    assert schema.parse('{"value": [1]}') == schema.parse("[1]") == [1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "nothing"}, "the JSON schema is none: 'nothing'"),
        (
            {"properties": {"a": {"$ref": "https://example.test/s.json"}}},
            "refers to https://example",
        ),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "refers to file:///etc/passwd"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "put it into"),
        (object(), "output_schema must be a type or a JSON schema"),
        ("City", "output_schema must be a type or a JSON schema"),
    ],
)
def test_what_is_no_schema_is_refused(given: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        OutputSchema.of(given)


def add(a: int, b: int) -> int:
    return a + b


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            add,
            "not the function add; give the type .*, or give it as one of tools=",
        ),
        (len, "not the function len; "),
        (partial(add, 1), "not the function one; "),
        (lambda: 1, "not the function <lambda>; "),
        ({"foo": 1}, r"JSON Schema knows no foo; .* go into .*properties"),
        ({"name": {"type": "string"}, "age": {}}, "knows no name, age; fields"),
        (3, "must be a type or a JSON schema, not 3$"),
        ([int], r"must be a type or a JSON schema, not \[<class 'int'>\]$"),
    ],
)
def test_what_people_take_for_a_schema_is_told_as_what_it_is(given: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        OutputSchema.of(given)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("given", [{}, {"description": "a thing"}, {"x-own": 1, "type": "object"}])
def test_a_schema_that_asks_for_nothing_takes_anything(given: dict[str, object]) -> None:
    shape = OutputSchema.of(given)
    assert shape.parse('{"value": [1, "a"]}') in ([1, "a"], {"value": [1, "a"]})


def test_a_reference_that_never_ends_is_that_answers_error() -> None:
    schema = OutputSchema.of({"type": "object", "properties": {}, "allOf": [{"$ref": "#"}]})
    with pytest.raises(ValueError, match="nested too deeply"):
        schema.parse("{}")


def test_equal_schemas_are_equal_and_hash_alike() -> None:
    turned = dict(reversed(JSON_SCHEMA.items()))
    assert OutputSchema.of(turned) == OutputSchema.of(JSON_SCHEMA)
    assert hash(OutputSchema.of(turned)) == hash(OutputSchema.of(JSON_SCHEMA))
    assert OutputSchema.of(City) != OutputSchema.of(Row)


def test_without_the_extra_a_json_schema_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ConfigError, match=r'pip install "headrace\[schema\]"'):
        OutputSchema.of(JSON_SCHEMA)
    assert OutputSchema.of(City).parse(TEXT) == OSLO


def test_a_shape_made_by_hand_keeps_to_what_all_apis_take() -> None:
    with pytest.raises(ConfigError, match=r"OutputSchema\.of"):
        OutputSchema("answer", '{"type":"array"}', str)
    assert OutputSchema("an answer", '{"type":"object"}', str).name == "an_answer"
