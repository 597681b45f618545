"""Which routes a client has, and what a call or a row may name."""

from __future__ import annotations

import gc
from collections import Counter
from decimal import Decimal

import pytest

from headrace import ConfigError, LLMClient, Model, RequestContext, SamplingParams
from headrace.core.errors import BadRowError, NoRouteError
from headrace.core.model import Price
from headrace.engine.choice import Choice
from headrace.engine.fleet import Fleet, listed
from headrace.engine.scope import RouteState
from headrace.policy.cost import ONE
from headrace.registry.resolve import Place
from headrace.testing import Script
from tests.clients import made, run

pytestmark = pytest.mark.once


@pytest.fixture
def fleet() -> Fleet:
    place = Place(base_url="http://127.0.0.1:1/v1")
    return Fleet(
        place,
        lambda _: 1,
        limits={},
        concurrency=None,
    )


def test_one_or_several() -> None:
    assert listed("openai/m") == ["openai/m"]
    assert listed(("a", "b")) == ("a", "b")
    with pytest.raises(ConfigError, match="no model is given"):
        listed(())


def test_a_model_keeps_its_route_while_the_client_lives(fleet: Fleet) -> None:
    [first] = fleet.choice("openai/m").lanes
    [again] = fleet.choice("openai/m").lanes
    assert first is again
    assert fleet.find("openai/m") is first.route
    assert fleet.find("openai/other") is None


def test_a_name_means_the_row_that_the_client_was_given(fleet: Fleet) -> None:
    row = Model(
        id="openai/m", requests_per_minute=60, price=Price(input=Decimal(1), output=Decimal(1))
    )
    [own] = fleet.choice([row]).lanes
    default = fleet.choice("openai/other")
    [named] = fleet.choose(RequestContext(prompt="p", model="openai/m"), default).lanes
    assert named is own
    assert fleet.choose(RequestContext(prompt="p"), default) is default


def test_a_row_names_its_model_once_for_all(fleet: Fleet) -> None:
    default = fleet.choice("openai/m")
    row = RequestContext(prompt="p", model="openai/n")
    assert fleet.choose(row, default) is fleet.choose(row, default)
    with pytest.raises(BadRowError, match="not known"):
        fleet.choose(RequestContext(prompt="p", model="nowhere/n"), default)


@pytest.mark.parametrize(
    ("model", "said"),
    [("nowhere/n", "not known"), ("nonsense", "endpoint/model"), ("anthropic/n", "ANTHROPIC_API")],
)
def test_a_rows_unknown_model_is_that_rows_error(model: str, said: str) -> None:
    client = LLMClient("openai/m", base_url="http://127.0.0.1:1/v1")
    asked = RequestContext(prompt="p", model=model)
    [row] = client.process_prompts_sync([asked], show_progress=False)
    client.close()
    assert row.error is not None
    assert (row.error.code, row.source, row.attempts) == ("bad_row", "none", 0)
    assert said in str(row.error)


@pytest.mark.thorough
def test_rows_that_name_a_few_models_leave_a_few_routes() -> None:
    before = _alive(RouteState), _alive(Choice)
    client = made(Script(), cache="memory")
    names = [f"openai/m{n}" for n in range(3)]
    rows = (RequestContext(prompt=f"p{n}", model=names[n % 3]) for n in range(10_000))
    responses = run(client, rows)
    assert Counter(row.model for row in responses) == {"m0": 3_334, "m1": 3_333, "m2": 3_333}
    # Those of the three, and the client's own.
    assert (_alive(RouteState), _alive(Choice)) == (before[0] + 4, before[1] + 4)


def _alive(kind: type[object]) -> int:
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


def test_models_with_parameters_of_their_own_are_named_with_them(fleet: Fleet) -> None:
    params = [SamplingParams(temperature=0), SamplingParams(temperature=1)]
    choice = fleet.choice(["openai/a", "openai/b"], params=params)
    assert [state.params for state in choice.lanes] == params
    assert choice.models == ("openai/a {'temperature': 0.0}", "openai/b {'temperature': 1.0}")


def test_a_fork_holds_nothing(fleet: Fleet) -> None:
    [state] = fleet.choice("openai/m").lanes
    state.take(0, ONE)
    fleet.forget_flights()
    assert state.own.in_flight == 0


def test_what_a_stopped_client_says_of_a_closed_port() -> None:
    client = LLMClient("openai/m", base_url="http://127.0.0.1:1/v1", chance=lambda: 0.01)
    with pytest.raises(NoRouteError, match="check base_url and that the server runs"):
        client.process_prompts_sync(["p"] * 10, show_progress=False)
    client.close()
