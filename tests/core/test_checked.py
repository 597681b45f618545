"""What is built wrongly says so in one sentence; and what a name was meant to be."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import headrace
from headrace import Conversation, SamplingParams
from headrace.config import Config
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.model import Offer
from headrace.core.spelling import near

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

# Untyped: all of it is wrong on purpose.
a: Final[Any] = headrace
wrong: Final[Any] = object()
SETTINGS: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "cut short": (lambda: a.SamplingParams(temp=1), "temp.*did you mean temperature?"),
    "misspelt": (lambda: a.SamplingParams(max_token=1), "max_token.*did you mean max_tokens?"),
    "unlike anything": (lambda: a.SamplingParams(qqq=1), "qqq.*there are extra_body, .* top_p"),
    "no number": (lambda: a.SamplingParams(temperature="hot"), "temperature: .*number.*'hot'"),
    "protected": (lambda: a.SamplingParams(extra_body={"model": 1}), "cannot replace model"),
    "by place": (lambda: a.Price(1, 2), "by name: input, output, cache_read"),
    "no output price": (lambda: a.Price(input=1), "output: it is missing"),
    "negative price": (lambda: a.Price(input=-1, output=0), "input: it must be 0 or more, not -1$"),
    "no id": (a.Model, "id: it is missing"),
    "a limit misspelt": (
        lambda: a.Model(id="a/b", request_per_minute=1),
        "did you mean requests_per_minute?",
    ),
    "a flag for a limit": (
        lambda: a.Model(id="a/b", tokens_per_minute=True),
        "tokens_per_minute: it must be a number, not True$",
    ),
    "a flag for tokens": (lambda: a.SamplingParams(max_tokens=True), "a number, not True$"),
    "a limit beyond all arithmetic": (
        lambda: a.Model(id="a/b", requests_per_day=1e300),
        r"requests_per_day: it must be 1e\+12 or less, not 1e\+300$",
    ),
    "next to no limit": (
        lambda: a.Model(id="a/b", requests_per_minute=1e-300),
        "requests_per_minute: it must be 1e-09 or more, not 1e-300$",
    ),
    "slots beyond counting": (
        lambda: a.Model(id="a/b", max_concurrent_requests=10**30),
        "max_concurrent_requests: it must be 100000 or less",
    ),
    "a part above the whole": (
        lambda: a.Model(id="a/b", tokens_per_minute=10_000, input_tokens_per_minute=20_000),
        r"input_tokens_per_minute \(20,000\) must not be above tokens_per_minute \(10,000\)",
    ),
    "another part above the whole": (
        lambda: a.Model(id="a/b", tokens_per_minute=0.5, output_tokens_per_minute=0.7),
        r"output_tokens_per_minute \(0.7\) must not be above tokens_per_minute \(0.5\)",
    ),
    "a misspelt part": (
        lambda: Config(breaker={"failure": 3}),  # type: ignore[arg-type]  # wrong on purpose
        "breaker.failure: there is no such field; did you mean failures?",
    ),
    "counts nothing": (
        lambda: a.BreakerSettings(counts=[]),
        r"counts: it must name at least one of not_sent, .*, not \[\]$",
    ),
    "breaks that shrink": (
        lambda: a.BreakerSettings(first_break=9),
        r"longest_break \(8 s\) must not be below first_break \(9 s\)$",
    ),
    "within": (
        lambda: a.Model(id="a/b", price={"input": 1, "output": "x"}),
        "price.output: it must be a number, not 'x'$",
    ),
    "deeper": (
        lambda: a.Model(id="a/b", price={"input": 1, "output": 1, "in": 1}),
        "price.in: there is no such field .there are cache_read, cache_write, input, output.$",
    ),
}
ROWS: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "conversation of a number": (lambda: a.Conversation(wrong), "list of messages, not object"),
    "conversation of text": (lambda: a.Conversation("hi"), "list of messages, not str"),
    "messages of nothing": (lambda: a.Conversation.from_messages(None), "not nothing"),
    "messages of a dict": (
        lambda: a.Conversation.from_messages({"role": "user"}),
        "list of messages, not dict",
    ),
    "message of a number": (lambda: a.Message("user", wrong), "text or a list of parts"),
    "role": (lambda: a.Message("robot", "hi"), "'robot'"),
    "image from text": (lambda: a.Image.from_bytes("a.png"), "must be bytes, not str"),
    "image of text": (lambda: a.Image(data="a", media_type="image/png"), "must be bytes, not str"),
    "image of a list": (lambda: a.Image(data=b"x", media_type=[]), "must be PNG"),
    "image from a number": (lambda: a.Image.from_url(5), "URL must be a string"),
    "image at a number": (lambda: a.Image(url=5), "URL must be a string"),
    "model of a row": (lambda: a.RequestContext(prompt="p", model=wrong), "endpoint/model"),
    "tags of a row": (lambda: a.RequestContext(prompt="p", tags="x"), "tags must be a dict.*str"),
    "deadline of a row": (lambda: a.RequestContext(prompt="p", deadline=True), "above zero"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_built_wrongly_is_one_sentence(name: str) -> None:
    build, said = SETTINGS[name]
    with pytest.raises(ConfigError, match=said) as caught:
        build()
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def holds_a_number(kind: object) -> bool:
    return kind in {int, float} or any(map(holds_a_number, get_args(kind)))


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (row, name)
        for row in (a.SamplingParams, a.HedgeSettings, a.BreakerSettings, a.Model)
        for name, field in row.model_fields.items()
        if holds_a_number(field.annotation)
    ],
)
def test_a_flag_is_no_number(row: type[BaseModel], name: str) -> None:
    own = {"id": "a/b"} if row is a.Model else {}
    given: dict[str, Any] = {**own, name: True}
    with pytest.raises(ConfigError, match=rf": {name}: it must be a number, not True$"):
        row(**given)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_built_wrongly_is_one_sentence(name: str) -> None:
    build, said = ROWS[name]
    with pytest.raises(BadRowError, match=said) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_limits_of_a_row_that_are_odd_but_meant_are_taken() -> None:
    model = a.Model(id="a/b", requests_per_minute=1_000, requests_per_day=50)  # a free tier
    assert (model.requests_per_minute, model.requests_per_day) == (1_000, 50)
    parts = {"input_tokens_per_minute": 10, "output_tokens_per_minute": 10}
    assert a.Model(id="a/b", tokens_per_minute=10, **parts).input_tokens_per_minute == 10


def test_any_iterable_of_messages_is_a_conversation() -> None:
    assert a.Conversation.from_messages(
        iter([{"role": "user", "content": "p"}])
    ) == Conversation.of("p")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("temp", "temperature"),
        ("max", "max_tokens"),
        ("top-p", "top_p"),
        ("to", None),
        ("s", None),
        ("heat", None),
        ("x", None),
        ("", None),
    ],
)
def test_the_near_name(word: str, name: str | None) -> None:
    assert near(word, SamplingParams.model_fields) == name


@given(st.text(max_size=9), st.lists(st.text(max_size=9), max_size=4))
def test_a_near_name_is_one_of_those_there_are(word: str, names: list[str]) -> None:
    assert near(word, names) in {None, *names}


ROWS_OF_SETTINGS: Final = (
    SamplingParams,
    headrace.Price,
    headrace.Model,
    headrace.Endpoint,
    Offer,
    Config,
)
NEEDED: Final[dict[type[Any], dict[str, Any]]] = {
    headrace.Price: {"input": 1, "output": 1},
    headrace.Model: {"id": "a/b"},
    headrace.Endpoint: {"name": "a", "wire": "openai_chat"},
}
ODD: Final[tuple[object, ...]] = (
    5,
    -1,
    1.5,
    1e300,
    float("nan"),
    "",
    "Odd One",
    "1e99",
    b"odd",
    [],
    [1],
    {"odd": 1},
    {1: "odd"},
    {"odd": {"path": "odd"}},
    object(),
)


@pytest.mark.parametrize("kind", ROWS_OF_SETTINGS)
def test_wrong_settings_are_told_in_no_library_s_words(
    kind: type[BaseModel],
) -> None:
    refused = 0
    for name, value in product(kind.model_fields, ODD):
        try:
            kind(**{**NEEDED.get(kind, {}), name: value})
        except ConfigError as error:
            refused += 1
            said = str(error).replace(repr(value), "")
            assert name in said
            for word in ("nput should", "valid", "pattern", "instance", "dictionary", "tuple"):
                assert word not in said, said
    assert refused > len(kind.model_fields)
