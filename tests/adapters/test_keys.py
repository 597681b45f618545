"""Where keys are read: when they are needed, from where the route says, and never quoted."""

from __future__ import annotations

import pytest

from headrace.adapters import keys
from headrace.core.errors import ConfigError, GoneError
from headrace.core.model import Endpoint, KeySource, Model, Route
from headrace.core.secret import Secret

KEY = "sk-live-0123456789"
MODEL = Model(id="openai/m")
OPENAI = Endpoint(name="openai", wire="openai_chat")
OPEN = Endpoint(name="local", wire="openai_chat", auth="none")
FROM_ENV = Route(MODEL, OPENAI, "https://a.test/v1", KeySource(env=("TEST_API_KEY",)))
FROM_CODE = Route(MODEL, OPENAI, "https://a.test/v1", KeySource(secret=Secret(KEY)))
FROM_NOWHERE = Route(MODEL, OPENAI, "https://a.test/v1")


def test_a_key_given_in_code_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", "other")
    assert keys.reveal(KeySource(env=("TEST_API_KEY",), secret=Secret(KEY))) == KEY
    assert keys.reveal(KeySource(env=("TEST_API_KEY",))) == "other"
    assert keys.reveal(KeySource()) is None
    keys.check(FROM_CODE)
    assert keys.require(FROM_CODE) == KEY


def test_the_environment_is_read_at_the_moment_of_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", KEY)
    keys.check(FROM_ENV)
    assert keys.require(FROM_ENV) == KEY
    monkeypatch.setenv("TEST_API_KEY", "rotated")
    assert keys.require(FROM_ENV) == "rotated"


@pytest.mark.parametrize(
    "value", [None, "", " ", f"{KEY}\n", f"{KEY} ", f"{KEY}é", f"{KEY}\r\nX: y"]
)
def test_a_key_that_cannot_be_sent_stops_before_the_first_request(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("TEST_API_KEY", value)
    with pytest.raises(ConfigError, match=r"openai/m.*TEST_API_KEY or pass api_key=") as caught:
        keys.check(FROM_ENV)
    assert KEY not in str(caught.value)
    with pytest.raises(GoneError, match=r"openai/m.*TEST_API_KEY") as gone:
        keys.require(FROM_ENV)
    assert KEY not in str(gone.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f" {KEY}", "spaces around it, a line break"),
        (f"{KEY}\n{KEY}", "spaces around it, a line break"),
        (f"{KEY}\u00e9", "a character that no header may carry"),
        (f'"{KEY}"', "quotation marks around it"),
        (f"'{KEY}'", "quotation marks around it"),
        ("your-api-key", "a placeholder"),
        ("YOUR_API_KEY", "a placeholder"),
        ("your_openai_api_key_here", "a placeholder"),
        ("sk-your-key-here", "a placeholder"),
        ("<OPENAI_API_KEY>", "a placeholder"),
        ("$OPENAI_API_KEY", "a placeholder"),
        ("sk-...", "a placeholder"),
        ("sk-xxxxxxxx", "a placeholder"),
        ("changeme", "a placeholder"),
        ("insert-key-here", "a placeholder"),
        ("openai-api-key", "a placeholder"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_without_it(
    value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_API_KEY", value)
    with pytest.raises(ConfigError, match=f"^openai/m: the API key .*{said}") as caught:
        keys.check(FROM_ENV)
    assert value.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["EMPTY", "none", "x", "sk-test", "hf_aXXXXb", "no-key-needed", "gsk_yourkeybqZ8", "lm"],
)
def test_what_may_be_a_key_is_one(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", value)
    assert keys.require(FROM_ENV) == value


def test_a_server_on_this_machine_may_have_any_word_for_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEST_API_KEY", "changeme")
    here = Route(MODEL, OPENAI, "http://127.0.0.1:8000/v1", KeySource(env=("TEST_API_KEY",)))
    assert keys.require(here) == "changeme"
    with pytest.raises(GoneError, match="placeholder"):
        keys.require(FROM_ENV)


def test_a_server_that_needs_no_key_is_sent_one_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = Endpoint(name="vllm", wire="openai_chat", needs_key=False)
    route = Route(MODEL, own, "http://127.0.0.1:8000/v1", KeySource(env=("TEST_API_KEY",)))
    keys.check(route)
    assert keys.require(route) is None
    monkeypatch.setenv("TEST_API_KEY", KEY)
    assert keys.require(route) == KEY


def test_where_no_variable_is_named_none_is_advised() -> None:
    with pytest.raises(ConfigError, match=r"openai/m needs an API key; pass api_key=$"):
        keys.check(FROM_NOWHERE)


def test_an_endpoint_without_keys_needs_none() -> None:
    keys.check(Route(Model(id="local/m"), OPEN, "http://127.0.0.1:8080/v1"))


@pytest.mark.parametrize("slash", ["/", r"\/"])
def test_a_quoted_key_is_hidden_however_json_writes_its_slashes(slash: str) -> None:
    veil = keys.Veil("FwoGZXIvYXdz/EXAMPLE+token/0123==")
    quoted = f'{{"message": "token FwoGZXIvYXdz{slash}EXAMPLE+token{slash}0123== is bad"}}'
    assert veil.over(quoted.encode()) == b'{"message": "token ******** is bad"}'
