"""What is built wrongly says so in one sentence; and what a name was meant to be."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

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
    "within": (
        lambda: a.Model(id="a/b", price={"input": 1, "output": "x"}),
        "price.output: it must be a number, not 'x'$",
    ),
    "deeper": (
        lambda: a.Model(id="a/b", price={"input": 1, "output": 1, "in": 1}),
        "price.in: there is no such field$",
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


@pytest.mark.parametrize("name", ROWS)
def test_a_row_built_wrongly_is_one_sentence(name: str) -> None:
    build, said = ROWS[name]
    with pytest.raises(BadRowError, match=said) as caught:
        build()
    assert "\n" not in str(caught.value)


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
