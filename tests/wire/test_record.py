"""Answers survive being written and read again; whatever is not a record says so."""

from __future__ import annotations

import datetime as dt
from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import ReplyError
from headrace.core.parts import Opaque, Text, Thinking, ToolCall
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage
from headrace.wire import record

TEXT = st.text(st.characters(), max_size=30) | st.sampled_from(
    ["\ud83d\ude00", "\\ud800", "\\\\", "a\udfff\\", "\\u0041", "😀\ud800"]
)
NUMBER = st.integers(-(2**63), 2**64 - 1)
COUNT = st.integers(0, 2**63)
JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | NUMBER | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
MAYBE_TEXT = st.none() | TEXT
SOUND = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
CALLS = st.builds(ToolCall, TEXT, TEXT, TEXT) | st.builds(
    ToolCall, TEXT, TEXT, TEXT, st.just("custom"), MAYBE_TEXT
)
PARTS = (
    CALLS
    | st.builds(Text, SOUND)
    | st.builds(Thinking, TEXT, MAYBE_TEXT, MAYBE_TEXT)
    | st.builds(Opaque, TEXT, TEXT)
)
ANSWERS = st.builds(
    APIResponse,
    completion=MAYBE_TEXT,
    thinking=MAYBE_TEXT,
    tool_calls=st.lists(CALLS, max_size=3).map(tuple),
    content=st.lists(PARTS, max_size=3).map(tuple),
    logprobs=st.none() | JSON,
    adaptations=st.lists(TEXT, max_size=2).map(tuple),
    usage=st.none() | st.builds(Usage, COUNT, COUNT, COUNT, COUNT, COUNT),
    cost_nanos=st.none() | COUNT,
    finish_reason=MAYBE_TEXT,
    model=MAYBE_TEXT,
    provider=MAYBE_TEXT,
    route=MAYBE_TEXT,
    request_id=MAYBE_TEXT,
    metadata=st.dictionaries(TEXT, JSON, max_size=4),
    attempts=st.integers(0, 1000),
    uncertain_attempts=st.integers(0, 1000),
    latency=st.none() | st.floats(0, 1e9),
)
FULL: APIResponse[object] = APIResponse(
    completion="hi", tool_calls=(ToolCall("1", "f", "{}"),), usage=Usage(1, 2, 3, 4, 5)
)


@given(ANSWERS)
def test_an_answer_survives_being_written_and_read(answer: APIResponse[object]) -> None:
    assert record.load(record.dump(answer)) == answer


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return b"\xff"


@given(st.binary(max_size=60) | JSON.map(_json))
def test_what_is_no_record_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        record.load(data)


@given(st.sampled_from(sorted(orjson.loads(record.dump(FULL)))), JSON, st.booleans())
def test_a_changed_record_is_read_or_refused_and_never_breaks(
    name: str, value: object, escaped: bool
) -> None:
    form = {**orjson.loads(record.dump(FULL)), "escaped": escaped}
    try:
        data = orjson.dumps({**form, name: value})
    except TypeError:
        return
    try:
        answer = record.load(data)
    except ValueError:
        return
    hash((answer.completion, answer.tool_calls, answer.usage, answer.attempts))


@pytest.mark.parametrize("cut", range(len(record.dump(FULL))))
def test_each_truncation_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        record.load(record.dump(FULL)[:cut])


@pytest.mark.parametrize(
    "form",
    [
        {"v": 2},
        {"v": True},
        {"v": 1.0},
        {},
        {"v": 1, "completion": 3},
        {"v": 1, "attempts": True},
        {"v": 1, "usage": [1, 2, 3]},
        {"v": 1, "usage": [1, 2, 3, 4, "5"]},
        {"v": 1, "tool_calls": ["abc"]},
        {"v": 1, "tool_calls": [["a", "b", None]]},
        {"v": 1, "metadata": []},
    ],
)
def test_wrong_shapes_and_unknown_versions_are_refused(form: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="treat it as a miss"):
        record.load(orjson.dumps(form))


def test_what_belongs_to_one_row_is_left_out() -> None:
    answer: APIResponse[object] = APIResponse(
        id="row-7",
        index=7,
        sample=2,
        tags={"a": 1},
        completion="hi",
        parsed={"x": 1},
        source="journal",
        error=ReplyError("no"),
        reply=Reply(200, b"raw"),
    )
    assert record.load(record.dump(answer)) == APIResponse(completion="hi")


def test_the_written_form_is_the_documented_one() -> None:
    assert orjson.loads(record.dump(FULL)) == {
        "v": 1,
        "completion": "hi",
        "attempts": 0,
        "usage": [1, 2, 3, 4, 5],
        "tool_calls": [["1", "f", "{}"]],
    }
    odd = record.dump(APIResponse(completion="a\ud800\\"))
    assert orjson.loads(odd) == {
        "v": 1,
        "completion": "a\\ud800\\\\",
        "attempts": 0,
        "escaped": True,
    }


def test_read_only_mappings_are_written_as_objects() -> None:
    metadata = {"a": MappingProxyType({"b": MappingProxyType({"c": 1})}), "d": (1, 2)}
    read = record.load(record.dump(APIResponse(metadata=metadata)))
    assert read.metadata == {"a": {"b": {"c": 1}}, "d": [1, 2]}


def _endless() -> dict[str, object]:
    ring: dict[str, object] = {}
    ring["self"] = ring
    return ring


@pytest.mark.parametrize(
    "metadata",
    [
        {"at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)},
        {"usage": Usage()},
        {"raw": b"x"},
        {"big": 2**64},
        _endless(),
    ],
)
def test_what_json_cannot_hold_is_refused(metadata: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="JSON cannot"):
        record.dump(APIResponse(metadata=metadata))
