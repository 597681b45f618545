"""Sampling parameters: what is unset is not sent, and overlays add up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.core.errors import BadRowError
from headrace.core.params import SamplingParams

finite = st.floats(allow_nan=False, allow_infinity=False)
values: dict[str, st.SearchStrategy[object]] = {
    "max_tokens": st.integers(1, 10**6),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "top_k": st.integers(0, 1000),
    "min_p": st.floats(0, 1),
    "stop": st.lists(st.text(max_size=3), max_size=2).map(tuple),
    "seed": st.integers(-5, 5),
    "frequency_penalty": finite,
    "presence_penalty": finite,
    "reasoning_effort": st.sampled_from(["none", "low", "high"]),
    "extra_body": st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=2),
}
params = st.fixed_dictionaries({}, optional=values).map(SamplingParams.model_validate)


@given(params, params, params)
def test_overlaying_is_associative(a: SamplingParams, b: SamplingParams, c: SamplingParams) -> None:
    assert (a | b) | c == a | (b | c)


@given(params)
def test_unset_is_neutral_and_overlaying_itself_changes_nothing(a: SamplingParams) -> None:
    assert a | SamplingParams() == SamplingParams() | a == a
    assert a | None == a
    assert a | a == a


@given(params, params)
def test_what_is_set_wins_and_what_is_unset_stays(a: SamplingParams, b: SamplingParams) -> None:
    both, extras = a.given() | b.given(), ("extra_body", "extra_headers")
    for name in extras:  # merged, one level deep
        if name in both:
            both[name] = {**(getattr(a, name) or {}), **(getattr(b, name) or {})}
    assert (a | b).given() == both
    assert list((a | b).given()) == [n for n in SamplingParams.model_fields if n in (a | b).given()]


@given(params)
def test_given_is_all_that_was_said(a: SamplingParams) -> None:
    assert SamplingParams.model_validate(a.given()) == a
    assert None not in a.given().values()


def test_nothing_set_is_nothing_to_look_at() -> None:
    some = SamplingParams(temperature=0)
    assert some.or_none() is some
    assert SamplingParams().or_none() is None


def test_none_is_unset_and_zero_is_not() -> None:
    assert SamplingParams(temperature=None).given() == {}
    assert SamplingParams(temperature=0, top_k=0).given() == {"temperature": 0.0, "top_k": 0}


def test_stop_may_be_one_string() -> None:
    assert SamplingParams.model_validate({"stop": "END"}).stop == ("END",)
    assert SamplingParams.model_validate({"stop": ["a", "b"]}).stop == ("a", "b")
    assert SamplingParams.model_validate(SamplingParams(seed=1)) == SamplingParams(seed=1)


def test_parameters_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        SamplingParams().seed = 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("top_k", -1),
        ("min_p", 2),
        ("stop", 5),
        ("stop", [5]),
        ("seed", "x"),
        ("frequency_penalty", math.inf),
        ("presence_penalty", math.nan),
        ("reasoning_effort", "very"),
        ("extra_body", []),
        ("extra_body", {"model": "other"}),
        ("extra_body", {"messages": []}),
        ("extra_body", {"stream": True, "system": "x"}),
        ("extra_body", {"a": [{"b": math.nan}]}),
        ("extra_body", {"a": -math.inf}),
        ("extra_headers", {"x-a": "one\r\nx-b: two"}),
        ("extra_headers", {"x a": "one"}),
        ("extra_headers", {"x-a": " blank before"}),
        ("extra_headers", {"x-a": "\u20ac"}),
        ("temprature", 1),
    ],
)
def test_a_wrong_parameter_of_a_row_is_named_in_one_sentence(name: str, value: object) -> None:
    with pytest.raises(BadRowError, match=rf"^params: {name}.*: ") as caught:
        SamplingParams.from_row({name: value})
    assert "\n" not in str(caught.value)
    with pytest.raises(ValidationError):
        SamplingParams.model_validate({name: value})


def test_the_protected_names_are_told() -> None:
    said = "cannot replace model, stream; leave it out, and give models and messages as such"
    with pytest.raises(BadRowError, match=rf"^params: extra_body: .*{said}$"):
        SamplingParams.from_row({"extra_body": {"stream": 1, "model": 2, "n": 3}})


@pytest.mark.parametrize("data", [[], "temperature=1", None, 5])
def test_parameters_of_a_row_are_an_object(data: object) -> None:
    with pytest.raises(BadRowError, match="params must be an object"):
        SamplingParams.from_row(data)


def test_a_row_may_say_what_code_may_say() -> None:
    assert SamplingParams.from_row({"stop": "x", "extra_body": {"n": 1}}) == SamplingParams(
        stop=("x",), extra_body={"n": 1}
    )


def test_parameters_show_what_was_said() -> None:
    assert repr(SamplingParams(temperature=0, stop=("x",))) == (
        "SamplingParams(temperature=0.0, stop=('x',))"
    )
