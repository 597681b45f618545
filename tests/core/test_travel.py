"""What a request brings along reaches other processes, and other machines, as it was."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest
from pydantic import BaseModel

from headrace import OutputSchema, RequestContext, Tool

WORDS: Final = {"reasoning": {"type": "string"}, "answer": {"type": "string"}}
TURNED: Final = dict(reversed(WORDS.items()))


class Weather(BaseModel):
    place: str
    degrees: float = 0.0


@dataclass
class Point:
    x: int


def add(b: int, a: int = 1) -> int:
    """Add two numbers."""
    return a + b


SHAPES: Final[dict[str, tuple[Any, str]]] = {
    "model": (Weather, '{"place": "Oslo"}'),
    "dataclass": (Point, '{"x": 1}'),
    "list": (list[int], '{"value": [1, 2]}'),
    "JSON schema": ({"type": "object", "required": ["a"]}, '{"a": 1}'),
}
TOOLS: Final[dict[str, tuple[Any, str]]] = {
    "function": (add, '{"b": 2}'),
    "partial": (partial(add, a=3), '{"b": 2}'),
    "model": (Weather, '{"place": "Oslo"}'),
    "dict": ({"name": "f", "parameters": {"type": "object"}}, "{}"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_context_with_a_schema_is_pickled_and_copied(name: str) -> None:
    kind, text = SHAPES[name]
    shape = OutputSchema.of(kind)
    given = RequestContext(prompt="hi", output_schema=shape)
    for there in (pickle.loads(pickle.dumps(given)), copy.deepcopy(given)):
        assert (there, there.key) == (given, given.key)
        again = there.output_schema
        assert isinstance(again, OutputSchema)
        assert again.parse(text) == shape.parse(text)
        with pytest.raises(ValueError, match=r"answer|place|x|value|a"):
            again.parse('{"nothing": null}')


@pytest.mark.parametrize("name", TOOLS)
def test_a_context_with_tools_is_pickled_and_copied(name: str) -> None:
    given, text = TOOLS[name]
    here = RequestContext(prompt="hi", tools=(Tool.of(given),))
    [tool] = here.tools
    assert isinstance(tool, Tool)
    for there in (pickle.loads(pickle.dumps(here)), copy.deepcopy(here)):
        assert (there, there.key) == (here, here.key)
        [again] = there.tools
        assert isinstance(again, Tool)
        assert again.read(text) == tool.read(text)
        assert [each.call and each.call(**each.read(text)) for each in (again, tool)] in (
            [None, None],
            [3, 3],
            [5, 5],
        )


def test_properties_stay_in_their_order_wherever_they_stand() -> None:
    inner = {"type": "object", "properties": WORDS}
    schema = {"properties": {"z": inner, "properties": inner, "a": {"$ref": "#/$defs/d"}}}
    shape = OutputSchema.of({**schema, "type": "object", "$defs": {"d": inner}})
    found: Any = json.loads(shape.json)
    assert list(found["properties"]) == ["z", "properties", "a"]
    for each in (found["properties"]["z"], found["properties"]["properties"], found["$defs"]["d"]):
        assert list(each["properties"]) == ["reasoning", "answer"]
    for tool in (Tool("f", "", json.dumps(inner)), Tool.of({"name": "f", "parameters": inner})):
        assert isinstance(tool, Tool)
        assert list(json.loads(tool.schema)["properties"]) == list(WORDS)
    made = Tool.of(add)
    assert isinstance(made, Tool)
    assert list(json.loads(made.schema)["properties"]) == ["b", "a"]


def test_models_write_in_the_order_of_the_schema_so_that_it_is_part_of_the_key() -> None:
    asked, turned = (
        RequestContext(
            prompt="hi", output_schema=OutputSchema.of({"type": "object", "properties": words})
        )
        for words in (WORDS, TURNED)
    )
    assert asked.cache_key != turned.cache_key
    given, other = (
        RequestContext(prompt="hi", tools=(Tool("f", "", json.dumps({"properties": words})),))
        for words in (WORDS, TURNED)
    )
    assert given.cache_key != other.cache_key


def test_the_order_of_keywords_means_nothing() -> None:
    one = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}
    two = {"properties": {"a": {"maxLength": 3, "type": "string"}}, "type": "object"}
    assert OutputSchema.of(one) == OutputSchema.of(two)
    keys = {RequestContext(prompt="hi", output_schema=OutputSchema.of(s)).key for s in (one, two)}
    assert len(keys) == 1
