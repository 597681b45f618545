"""Every wrong setting is one sentence that names it, before anything is sent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import pytest

from headrace.adapters.proxy import Proxy
from headrace.config import Call, Config, check_seconds
from headrace.core.bounds import MOST_CONCURRENT
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.hedging import HedgeSettings
from headrace.core.params import SamplingParams
from headrace.providers.catalog import Catalog
from headrace.registry.resolve import Place
from headrace.testing import VirtualClock

if TYPE_CHECKING:
    from headrace.engine.choice import Choice

NOT_A_RATE: Final = [
    *(0, -1, -1e-9, 1e-300, 1e13, 1e300, 10**400),
    *(math.nan, math.inf, -math.inf, True, "many", [], {}),
]
NOT_SECONDS: Final = [0, -1, math.nan, math.inf, 1e10, True, "soon", []]
BAD: Final[dict[str, list[object]]] = {
    "max_requests_per_minute": NOT_A_RATE,
    "max_tokens_per_minute": NOT_A_RATE,
    "max_concurrent_requests": [0, -1, 1_000_000, 1.5, math.nan, math.inf, True, "many"],
    "max_attempts": [0, -1, 1_001, 2.5, None, math.nan, True],
    "request_timeout": [None, *NOT_SECONDS],
    "deadline": NOT_SECONDS,
    "patience": [None, -1, math.nan, math.inf, False, "long"],
    "breaker": [
        *(5, {"failures": 0}, {"failures": True}, {"longest_break": 0.5}),
        *({"counts": ["rejected"]}, {"counts": []}),
    ],
    "hedge": [
        *(5, 0, math.nan, "yes", []),
        *({"share": 0}, {"share": 1.5}, {"quantile": 1}, {"share": math.nan}),
    ],
    "seed": [1.5, "x", None, True],
    "coalesce": ["perhaps", 5],
    "spill": [None, "perhaps", 5],
    "remember_limits": ["perhaps", 5],
    "trust_env": [None, "perhaps"],
    "proxy": [
        5,
        [],
        "",
        "127.0.0.1:3128",
        "socks5://h:1",
        "http://",
        "http://h:x",
        "http://h:1/p",
        "http://%D0%96@h:1",
    ],
    "ca_file": [5, "nowhere.pem", ".", __file__, "a\0b"],
    "model_weights": [
        5,
        "ab",
        [True, 1],
        [-1, 2],
        [math.nan, 1],
        [math.inf, 1],
        ["x", 1],
        [1e13, 1],
    ],
    "sampling_params": ["hot", 5, [1, 2], {"temperature": -1}, {"temprature": 1}, {"stop": 5}],
    "no_such_option": [1],
}


def choice() -> Choice:
    return read().fleet(Place(base_url="http://127.0.0.1:1"), lambda _: 1).choice("openai/m")


def read(**settings: object) -> Config:
    return Config.read(2, **{"sampling_params": None, **settings})


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_wrong_setting_is_named_in_one_sentence(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{name: value})
    said = str(caught.value)
    assert said.startswith(name)
    assert "\n" not in said
    assert len(said) < 400


def test_a_sentence_tells_what_was_wrong_and_what_it_was() -> None:
    with pytest.raises(ConfigError, match=r"^max_attempts: it must be 1 or more, not 0$"):
        read(max_attempts=0)


def test_second_copies_are_asked_for_by_their_share_alone() -> None:
    assert read(hedge=0.02).hedge == read(hedge={"share": 0.02}).hedge == HedgeSettings(share=0.02)
    assert read(hedge=1).hedge == HedgeSettings(share=1)
    assert read(hedge=True).hedge == HedgeSettings()
    assert read(hedge=False).hedge is read(hedge=None).hedge is None
    with pytest.raises(ConfigError, match=r"^hedge\.share: it must be 1 or less, not 5$"):
        read(hedge=5)
    with pytest.raises(ConfigError, match=r"^hedge\.share: it must be above 0, not -1$"):
        read(hedge=-1)
    with pytest.raises(ConfigError, match=r"^hedge: it must be True, a share such as 0\.05, or"):
        read(hedge="yes")


def test_a_long_value_is_quoted_in_short() -> None:
    with pytest.raises(ConfigError) as caught:
        read(max_attempts="x" * 1_000_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("weights", [[0, 0], [0.0, 0]])
def test_some_weight_must_be_above_zero(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"^at least one of model_weights must be above zero$"):
        read(model_weights=weights)


@pytest.mark.parametrize("weights", [[], [1], [1, 1, 1]])
def test_weights_come_one_for_each_model(weights: list[float]) -> None:
    words = r"for 2 models; give one for each|at least one of model_weights"
    with pytest.raises(ConfigError, match=words):
        read(model_weights=weights)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_parameters_come_one_for_all_or_one_for_each(count: int) -> None:
    with pytest.raises(ConfigError, match=f"sampling_params has {count} sets? for 2 models"):
        read(sampling_params=[SamplingParams()] * count)


@pytest.mark.parametrize(
    ("given", "each"),
    [
        (None, SamplingParams()),
        ({}, SamplingParams()),
        ({"seed": 1}, SamplingParams(seed=1)),
        (SamplingParams(seed=1), SamplingParams(seed=1)),
        ([SamplingParams(seed=1)] * 2, SamplingParams(seed=1)),
        ([{"seed": 1}, {"seed": 1}], SamplingParams(seed=1)),
    ],
)
def test_parameters_are_read_for_each_model(given: object, each: SamplingParams) -> None:
    assert read(sampling_params=given).sampling_params == (each, each)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_requests_per_minute", 1e-9),
        ("max_requests_per_minute", 1e12),
        ("max_tokens_per_minute", 0.5),
        ("max_concurrent_requests", 1),
        ("max_concurrent_requests", MOST_CONCURRENT),
        ("max_attempts", 1),
        ("request_timeout", 1e-9),
        ("deadline", None),
        ("patience", 0),
        ("model_weights", (0, 1)),
        ("proxy", Proxy("http://127.0.0.1:3128")),
    ],
)
def test_what_is_odd_but_meant_is_taken(name: str, value: object) -> None:
    assert getattr(read(**{name: value}), name) == value


def test_the_defaults_are_those_of_the_documentation() -> None:
    config = read()
    assert (config.max_attempts, config.request_timeout, config.patience) == (5, 600.0, 900.0)
    assert config.deadline is None
    assert config.max_concurrent_requests is None


def test_a_plain_prompt_gets_what_the_call_says() -> None:
    params = SamplingParams(seed=1)
    call = Call(params, choice(), 5.0, {})
    assert call.context(3, "hi", 7) == RequestContext(
        prompt=Conversation.of("hi"), index=3, params=params, deadline=5.0, born_at=7
    )


def test_a_bad_prompt_is_refused_when_its_turn_comes() -> None:
    context = Call(None, choice(), None, {}).context(3, 5, 7)
    with pytest.raises(BadRowError, match="not int"):
        _ = context.conversation


def test_a_row_of_ones_own_is_laid_over_the_call() -> None:
    row = RequestContext(prompt="hi", id="a", params=SamplingParams(seed=2), deadline=1.0)
    call = Call(SamplingParams(seed=1, temperature=0), choice(), 5.0, {})
    there = call.context(3, row, 7)
    assert (there.name, there.index, there.born_at, there.deadline) == ("a", 3, 7, 1.0)
    assert there.params == SamplingParams(seed=2, temperature=0)
    bare = Call(None, choice(), 5.0, {}).context(4, RequestContext(prompt="hi"), 8)
    assert (bare.name, bare.params, bare.deadline) == ("4", None, 5.0)


def test_the_limits_reach_those_who_keep_them() -> None:
    config = read(max_concurrent_requests=7)
    fleet = config.fleet(Place(base_url="http://127.0.0.1:1"), lambda _: 1)
    choice = fleet.choice(["openai/m", "openai/n"])
    assert (choice.models, choice.slots) == (("openai/m", "openai/n"), 7)
    assert config.sender(Catalog().bind, VirtualClock(), None).clock.now() == VirtualClock().now()


def test_seconds_of_a_call() -> None:
    assert check_seconds("deadline", None) is None
    assert check_seconds("deadline", 5) == 5.0
    for value in (0, -1, math.nan, math.inf, True, "5", [5], 1e300, 10**400):
        with pytest.raises(ConfigError, match=r"^deadline must be a number of seconds above zero"):
            check_seconds("deadline", value)
