"""Answers that were cut off before they had the shape: who is asked next, and who pays twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import APIResponse, LLMClient, Model, RequestContext, SamplingParams, errors
from headrace.testing import Answer, Script
from tests.clients import quiet, virtual
from tests.scenarios.test_structured import GOOD, OSLO, City, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.model import Route
    from headrace.testing.provider import Outcome

BOTH: Final = ["openai/a", "openai/b"]
CUT: Final = Answer('{"name": "Os', finish_reason="length")
PROMPTS: Final = [f"p{n}" for n in range(9)]


def rows(a: int | None, b: int | None) -> list[Model]:
    both = zip(BOTH, (a, b), strict=True)
    return [Model(id=id_, max_output_tokens=most) for id_, most in both]


@pytest.mark.parametrize("weights", [None, [1, 1]])
@pytest.mark.parametrize(
    ("models", "params"),
    [
        (BOTH, None),
        (rows(50, None), None),
        (BOTH, [SamplingParams(max_tokens=50), SamplingParams(max_tokens=60)]),
    ],
)
def test_what_one_model_cuts_off_another_may_answer(
    models: Sequence[str | Model], params: list[SamplingParams] | None, weights: list[float] | None
) -> None:
    def say(context: RequestContext, route: Route, _: int) -> Outcome:
        assert len(context.conversation.messages) == 1  # what was cut off is no mistake
        return CUT if route.model.name == "a" else GOOD

    async def main(client: LLMClient) -> list[APIResponse[Any]]:
        found: list[APIResponse[Any]] = await quiet(client, PROMPTS, output_schema=City)
        return found

    found = virtual(
        Script(say),
        main,
        models=models,
        sampling_params=params,
        model_weights=weights,
        api_key=["k1", "k2"],
    )
    assert [response.parsed for response in found] == [OSLO] * 9
    assert {response.attempts for response in found} == {1, 2}


@pytest.mark.parametrize("weights", [None, [1, 1]])
def test_the_same_bound_is_paid_for_once_whoever_answers(weights: list[float] | None) -> None:
    seen = Seen(*[CUT] * 4)
    params = SamplingParams(max_tokens=50)
    response = seen.ask(models=BOTH, sampling_params=params, model_weights=weights)
    assert isinstance(response.error, errors.CutOffError)
    assert response.attempts == len(seen.models) == 1


def test_a_model_whose_row_binds_it_no_less_is_not_asked() -> None:
    seen = Seen(*[CUT] * 4)
    response = seen.ask(models=rows(50, 50))
    assert isinstance(response.error, errors.CutOffError)
    assert len(seen.models) == 1


@pytest.mark.parametrize("weights", [None, [1, 1]])
def test_each_model_cuts_an_answer_off_once(weights: list[float] | None) -> None:
    seen = Seen(*[CUT] * 9)
    response = seen.ask(models=BOTH, model_weights=weights, api_key=["k1", "k2"])
    assert isinstance(response.error, errors.CutOffError)
    assert sorted(seen.models) == ["a", "b"]
