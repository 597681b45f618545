"""One prompt on its way, and the keys that say what it is the same as."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core import fingerprint
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation, Message
from headrace.core.errors import BadRowError, OverloadedError, RateLimitError
from headrace.core.media import Image
from headrace.core.params import SamplingParams
from headrace.core.parts import Text
from headrace.core.schema import OutputSchema
from headrace.core.tools import Tool, VendorTool

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "keys.json"
PNG: Final = b"\x89PNG\r\n\x1a\n0123"
PARAMS: Final[dict[str, object]] = {
    "max_tokens": 16,
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "stop": ["\n"],
    "seed": 0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "reasoning_effort": "low",
    "extra_body": {"logprobs": True},
}

TOOL: Final = Tool("add", "Adds.", '{"type": "object", "properties": {"b": {}, "a": {}}}')
SHAPE: Final = OutputSchema.of({"type": "object", "properties": {"b": {}, "a": {}}})


def _with(**params: object) -> RequestContext:
    return RequestContext(prompt="hi", params=SamplingParams.model_validate(params))


REQUESTS: Final[dict[str, RequestContext]] = {
    "text": RequestContext(prompt="hello"),
    "unicode": RequestContext(prompt="Grüße, 世界 \U0001f680 \u200d"),
    "control": RequestContext(prompt='a\0b\n"\\'),
    "conversation": RequestContext(
        prompt=Conversation().system("Be brief.").user("hi").assistant("yes").user("why")
    ),
    "parts": RequestContext(prompt=Message.user([Text("a"), Text("b")])),
    "image data": RequestContext(prompt=Message.user("look", Image.from_bytes(PNG))),
    "image url": RequestContext(
        prompt=Message.user("look", Image.from_url("https://example.test/a.png"))
    ),
    "temperature": _with(temperature=0.7),
    "temperature zero": _with(temperature=0),
    "everything": _with(**PARAMS),
    "nested body": _with(extra_body={"b": [1, 2.5, None, "é"], "a": {"z": 1, "y": {"x": 2}}}),
    "stop": _with(stop="END"),
    "tools": RequestContext(prompt="hi", tools=(TOOL, VendorTool("web_search", '{"max_uses": 2}'))),
    "strict tool": RequestContext(prompt="hi", tools=(replace(TOOL, strict=True),)),
    "schema": RequestContext(prompt="hi", output_schema=SHAPE),
    "schema of a list": RequestContext(prompt="hi", output_schema=OutputSchema.of(list[int])),
    "tools and schema": RequestContext(prompt="hi", tools=(TOOL,), output_schema=SHAPE),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_keys_of_version_1_stay_what_they_are(name: str) -> None:
    key, golden = REQUESTS[name].key, json.loads(GOLDEN.read_text("utf-8"))
    assert set(golden["requests"]) == set(REQUESTS)
    assert golden["version"] == fingerprint.VERSION
    assert golden["requests"][name] == {
        "fingerprint": key.fingerprint.hex(),
        "digest": key.digest.hex(),
        "prompt": REQUESTS[name].conversation.fingerprint,
        "bound": key.bound_to(fingerprint.identity_of("m", "https://a.test/v1", "1")).digest.hex(),
        "row": fingerprint.of_row(key, ("a/x", "b/y"), 1, 2).hex(),
    }
    assert REQUESTS[name].cache_key == key.digest.hex()


def test_the_golden_requests_all_differ() -> None:
    assert len({request.key for request in REQUESTS.values()}) == len(REQUESTS)


def test_the_semantic_form_is_written_down() -> None:
    form = fingerprint.canonical(Conversation.of("é").canonical(), {"b": 1, "a": 2}, "chat")
    said = '{"messages":[["user","é"]],"op":"chat","params":{"a":2,"b":1},"v":1}'
    assert form.decode() == said


@pytest.mark.parametrize("name", PARAMS)
def test_an_explicit_value_is_another_request_than_an_unset_one(name: str) -> None:
    plain = RequestContext(prompt="hi")
    given = _with(**{name: PARAMS[name]})
    assert given.cache_key != plain.cache_key
    assert _with(**{name: None}).cache_key == plain.cache_key
    rest = {other: value for other, value in PARAMS.items() if other != name}
    assert _with(**rest).cache_key != _with(**PARAMS).cache_key


CHANGED: Final[dict[str, object]] = {
    **dict.fromkeys(("max_tokens", "top_k", "seed"), 17),
    **dict.fromkeys(("temperature", "top_p", "min_p"), 0.5),
    **dict.fromkeys(("frequency_penalty", "presence_penalty"), 0.5),
    "stop": ["\n", "END"],
    "reasoning_effort": "high",
    "extra_body": {"logprobs": False},
}


@pytest.mark.parametrize("name", PARAMS)
def test_each_parameter_is_part_of_the_key(name: str) -> None:
    assert _with(**{**PARAMS, name: CHANGED[name]}).cache_key != _with(**PARAMS).cache_key


numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def _turned(value: object) -> object:
    """The same JSON with the keys of every object in another order."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(words.map(lambda w: f"x_{w}"), json_values, min_size=1, max_size=4))
def test_the_order_of_keys_does_not_matter(body: dict[str, object]) -> None:
    assert _with(extra_body=_turned(body)).key == _with(extra_body=body).key


def test_what_belongs_to_the_row_is_not_part_of_the_key() -> None:
    plain = RequestContext(prompt="hi")
    other = RequestContext(
        prompt="hi", id="a", tags={"b": 1}, deadline=5.0, index=7, sample=1, occurrence=3
    )
    assert other.key == plain.key
    assert RequestContext(prompt="hi", params=SamplingParams()).key == plain.key


@pytest.mark.parametrize("value", [{1: 2}, {1, 2}, 2**80, object(), "\ud800"])
def test_a_body_that_is_not_json_is_the_rows_error(value: object) -> None:
    with pytest.raises(BadRowError, match="cannot be written as JSON"):
        _ = _with(extra_body={"x": value}).key


def test_rows_differ_by_request_models_sample_and_occurrence_but_not_by_order() -> None:
    key, other = RequestContext(prompt="a").key, RequestContext(prompt="b").key
    row = fingerprint.of_row(key, ("a/x", "b/y"), 0, 0)
    assert row == fingerprint.of_row(key, ("b/y", "a/x"), 0, 0)
    assert len(row) == 16
    rows = {
        row,
        fingerprint.of_row(other, ("a/x", "b/y"), 0, 0),
        fingerprint.of_row(key, ("a/x",), 0, 0),
        fingerprint.of_row(key, ("a/x", "b/y"), 1, 0),
        fingerprint.of_row(key, ("a/x", "b/y"), 0, 1),
    }
    assert len(rows) == 5


def test_a_key_is_bound_to_whoever_answers() -> None:
    key = RequestContext(prompt="a").key
    names = (("m",), ("n",), ("m", "n"), ("mn",))
    bound = {key, *(key.bound_to(fingerprint.identity_of(*parts)) for parts in names)}
    assert len(bound) == 5
    assert key.bound_to(b"m") == key.bound_to(b"m")


def test_operations_have_keys_of_their_own() -> None:
    messages = Conversation.of("hi").canonical()
    assert fingerprint.of_request(messages, {}) != fingerprint.of_request(messages, {}, "embed")


def test_a_context_is_called_by_its_id_or_by_its_row() -> None:
    assert RequestContext(prompt="hi", index=3).name == "3"
    assert RequestContext(prompt="hi", index=3, id="").name == ""


def test_a_failed_attempt_gives_the_next_context_and_leaves_the_old_one() -> None:
    first = RequestContext(prompt="hi")
    limited, broken = RateLimitError("slow down"), OverloadedError("503")
    second = first.after(limited, counted=False)
    third = second.after(broken, counted=True)
    assert (first.attempts, first.failures) == (0, ())
    assert (second.attempts, second.failures) == (0, (limited,))
    assert (third.attempts, third.failures) == (1, (limited, broken))
    assert replace(third, attempts=0, failures=()) == first


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("params", {"temperature": "hot"}, "temperature"),
        ("params", [1], "SamplingParams, not list"),
        ("id", 5, "use str"),
        ("deadline", 0, "above zero"),
        ("deadline", -1.0, "above zero"),
        ("deadline", math.nan, "above zero"),
        ("deadline", math.inf, "above zero"),
        ("deadline", "10", "above zero"),
        ("deadline", "1" * 10_000, "above zero"),
    ],
)
def test_a_context_says_what_is_wrong_with_it(field: str, value: object, words: str) -> None:
    odd: dict[str, Any] = {field: value}
    with pytest.raises(BadRowError, match=words) as caught:
        RequestContext(prompt="hi", **odd)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("p" * 1000, f"'{'p' * 60}...'"),
        (Conversation.of("p"), "'p'"),
        (Conversation().system("s").user("u"), "2 messages"),
        (Conversation.of([Message.user("p", Image.from_bytes(PNG))]), "'p'"),
        (Message.user("p"), "a Message"),
    ],
)
def test_a_context_shows_itself_in_short(prompt: str, said: str) -> None:
    context = RequestContext(prompt=prompt, id="a", params=SamplingParams(extra_body={"k": "v"}))
    assert repr(context) == f"<RequestContext 'a': {said}>"
