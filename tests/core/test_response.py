"""What the caller gets: usage adds up, costs are exact, answers and errors are told apart."""

from __future__ import annotations

import copy
import decimal
import pickle
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.core.conversation import Message
from headrace.core.errors import OverloadedError
from headrace.core.model import Endpoint, Model, Price, Route
from headrace.core.parts import ToolCall
from headrace.core.response import NOTHING, APIResponse, Responses, Usage

counts = st.integers(0, 10**12)
usages = st.builds(Usage, counts, counts, counts, counts, counts)
dollars = st.decimals(0, 10_000, places=9)


@given(usages, usages, usages)
def test_usage_adds_up_whatever_the_order(a: Usage, b: Usage, c: Usage) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Usage() == Usage() + a == a
    assert (a + b).total_tokens == a.total_tokens + b.total_tokens


@given(usages)
def test_the_buckets_are_disjoint_but_for_reasoning(usage: Usage) -> None:
    data = usage.to_dict()
    reasoning, total = data.pop("reasoning_tokens"), data.pop("total_tokens")
    assert total == sum(data.values()) == usage.total_tokens
    assert reasoning == usage.reasoning_tokens


@given(usages, dollars, dollars, st.none() | dollars, st.none() | dollars)
def test_a_cost_is_exact_and_rounded_half_up(
    usage: Usage, inp: Decimal, out: Decimal, read: Decimal | None, write: Decimal | None
) -> None:
    price = Price(input=inp, output=out, cache_read=read, cache_write=write)
    exact = Fraction(inp) * usage.input_tokens + Fraction(out) * usage.output_tokens
    exact += Fraction(inp if read is None else read) * usage.cache_read_tokens
    exact += Fraction(inp if write is None else write) * usage.cache_write_tokens
    assert price.cost(usage) == (exact * 1000 * 2 + 1) // 2


@pytest.mark.parametrize(
    ("dollars_per_million", "tokens", "nanos"),
    [("0.15", 1, 150), ("0.0005", 1, 1), ("0.0004", 1, 0), ("0.0015", 1, 2), ("3", 7, 21_000)],
)
def test_a_cost_by_hand(dollars_per_million: str, tokens: int, nanos: int) -> None:
    price = Price(input=Decimal(dollars_per_million), output=Decimal(0))
    assert price.cost(Usage(input_tokens=tokens)) == nanos


def test_no_context_of_the_caller_rounds_a_cost() -> None:
    price = Price(input=Decimal("1.23456789"), output=Decimal("9.87654321"))
    usage = Usage(987_654_321, 123_456_789)
    expected = price.cost(usage)
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP):
        assert price.cost(usage) == expected
    assert expected == int(
        (Decimal("1.23456789") * 987_654_321 + Decimal("9.87654321") * 123_456_789)
        .__mul__(1000)
        .to_integral_value(ROUND_HALF_UP)
    )


def test_a_price_in_floats_is_taken_as_written() -> None:
    price = Price.model_validate({"input": 0.1, "output": 0.3})
    assert price.cost(Usage(1_000_000, 1_000_000)) == 400_000_000


@pytest.mark.parametrize("value", [-1, "nan", "inf", "cheap"])
def test_a_price_is_a_number_of_dollars(value: object) -> None:
    with pytest.raises(ValidationError):
        Price.model_validate({"input": value, "output": 1})


@pytest.mark.parametrize(
    "limits",
    [
        {"requests_per_minute": 0},
        {"requests_per_minute": -1},
        {"tokens_per_minute": float("nan")},
        {"tokens_per_minute": float("inf")},
        {"max_concurrent_requests": 0},
        {"max_output_tokens": 0},
        {"rpm": 5},
    ],
)
def test_a_models_row_is_checked(limits: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Model.model_validate({"id": "openai/m", **limits})


def test_a_models_id_is_endpoint_and_name() -> None:
    model = Model(id="openai/meta-llama/Llama-3")
    assert (model.endpoint, model.name) == ("openai", "meta-llama/Llama-3")
    route = Route(model, Endpoint(name="openai", wire="openai_chat"), "https://a.test/v1")
    assert route.id == "openai/meta-llama/Llama-3"


def test_an_answer() -> None:
    calls = (ToolCall("1", "f", "{}"),)
    answer = APIResponse[object](
        completion="yes", cost_nanos=1_500_000_000, finish_reason="stop", tool_calls=calls
    )
    assert not answer.is_error
    assert not answer.is_truncated
    assert answer.cost == 1.5
    assert answer.message == Message.assistant("yes", *calls)
    assert answer.raise_for_error() is answer
    assert (answer.source, dict(answer.metadata)) == ("provider", {})


def test_an_answer_that_was_cut() -> None:
    assert APIResponse[object](completion="ye", finish_reason="length").is_truncated


def test_an_unknown_cost_is_not_zero() -> None:
    assert APIResponse[object]().cost is None
    assert APIResponse[object](cost_nanos=0).cost == 0.0


def test_no_metadata_is_one_empty_mapping_for_all_and_stays_it() -> None:
    empty = APIResponse[object]().metadata
    assert empty is NOTHING
    assert (len(empty), list(empty), repr(empty), dict(empty)) == (0, [], "{}", {})
    assert copy.deepcopy(empty) is empty
    assert pickle.loads(pickle.dumps(empty)) is empty
    with pytest.raises(KeyError):
        empty["finish_reason"]


def test_responses_travel_between_processes() -> None:
    answer = APIResponse[object](completion="yes", usage=Usage(1, 2), error=OverloadedError("no"))
    there = pickle.loads(pickle.dumps(answer))
    assert (there.completion, there.usage) == ("yes", Usage(1, 2))
    assert there.error.to_dict() == OverloadedError("no").to_dict()


def test_an_error() -> None:
    error = OverloadedError("busy")
    response = APIResponse[object](error=error)
    assert response.is_error
    assert response.message is None
    with pytest.raises(OverloadedError, match="busy"):
        response.raise_for_error()


def test_responses_part_into_good_and_bad_in_order() -> None:
    error = OverloadedError("busy")
    rows = [APIResponse[object](index=i, error=error if i % 3 else None) for i in range(7)]
    responses = Responses(rows)
    assert [r.index for r in responses.succeeded] == [0, 3, 6]
    assert [r.index for r in responses.failed] == [1, 2, 4, 5]
    assert type(responses.failed) is Responses


def test_a_response_shows_itself_in_short() -> None:
    answer = APIResponse[object](id="a", completion="x" * 1000, route="openai/m", tags={"k": "v"})
    assert repr(answer) == f"<APIResponse 'a': '{'x' * 60}...' (openai/m, provider)>"
    failed = APIResponse[object](id="b", error=OverloadedError("busy"))
    assert repr(failed) == "<APIResponse 'b': overloaded: busy>"
    assert repr(Responses([answer, failed] * 1000)) == "<Responses: 2,000, of which 1,000 failed>"
