"""JSON read strictly and written surely; text made fit to be shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.core.errors import RejectedError
from headrace.wire import reading

KEYS = [
    "sk-CANARY0123456789",
    "sk-ant-api03-CANARY_0123-456789",
    "sk-proj-****************CANARY",
    "gsk_CANARY0123456789",
    "xai-CANARY0123456789",
    "hf_CANARY0123456789",
    "AIzaCANARY0123456789",
    "AKIACANARY0123456789",
    "eyJCANARY0123.CANARY4567.x",
    "Bearer CANARY0123",
    "api-key: CANARY",
    "api_key=CANARY",
    '"apikey":"CANARY"',
    "API key provided: CANARY",
    "Authorization: Bearer CANARY",
    "0123456789abcdefCANARY0123456789",
]
PLAIN = [
    "model claude-sonnet-4-5-20250929 not found",
    "request req_011CZ47RMLnx1JoJX",
    "a skeleton in the bearer of news",
    "ask-me-anything",
    "maximum context length is 8192 tokens",
]


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"{}", {}),
        (b'\n\n {"a": 1}\n', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (rb'{"a": "\ud800"}', {"a": "\ufffd"}),
        (rb'{"a": "x\udc00\ud83d"}', {"a": "x\ufffd\ufffd"}),
        (rb'{"a": "\ud83d\ude00\ud83d"}', {"a": "\U0001f600\ufffd"}),
        (rb'{"a": "\\ud800\ud800\\"}', {"a": "\\ud800\ufffd\\"}),
        (rb'{"a": "\uD83D\uD83D\uDE00"}', {"a": "\ufffd\U0001f600"}),
        (b"", None),
        (b" \n", None),
        (b"null", None),
        (b"[]", None),
        (b'"str"', None),
        (b"7", None),
        (b'{"a": NaN}', None),
        (b'{"a": Infinity}', None),
        (b'{"a": 1e999}', None),
        (b'{"a": ' + b"1" * 5000 + b"}", None),
        (b'{"a": "\xff"}', None),
        ('{"a": 1}'.encode("utf-16"), None),
        (b'{"a": 1', None),
        (rb'{"a": "\ud800', None),
        (b"\xef\xbb\xbf", None),
        (b"[" * 200_000, None),
        (b'{"a":' * 200_000, None),
        (b"<html></html>", None),
    ],
)
def test_what_is_a_json_object_and_what_is_not(body: bytes, data: object) -> None:
    assert reading.load(body) == data


@given(st.text(st.characters(exclude_categories=[]), max_size=20))
@example("\\ud800\ud800\\")
@example("\ud83d\ud83d\ude00")
def test_lone_surrogates_become_u_fffd_and_nothing_else_changes(text: str) -> None:
    body = json.dumps({"a": text}).encode()
    sound = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert reading.load(body) == {"a": sound}


@pytest.mark.parametrize("value", [2**70, "\ud800", object(), {1: 2}])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(RejectedError, match="check the values of extra_body"):
        reading.write({"a": value})


@pytest.mark.parametrize("key", KEYS)
def test_no_api_key_is_shown(key: str) -> None:
    for text in (key, f"x {key}.", f'{{"message":"got {key}"}}', f"({key})"):
        assert "CANARY" not in reading.clean(text)
        assert "***" in reading.clean(text)
        assert "CANARY" not in reading.snippet(text.encode())


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_key_is_shown(text: str) -> None:
    assert reading.clean(text) == text


@pytest.mark.parametrize("fill", range(150, 210))
def test_a_key_at_the_edge_is_not_shown_in_part(fill: int) -> None:
    assert "CANARY" not in reading.clean("x " * (fill // 2) + "sk-CANARY0123456789CANARY")


def test_what_is_shown_is_one_printable_line() -> None:
    text = "\x1b[31mred\x00\r\nforged\u2028line\u202eback\ud800 \ufeff end"
    assert reading.clean(text) == "[31mred forged line back end"


@given(st.binary(max_size=3000))
def test_a_snippet_is_short_and_printable(body: bytes) -> None:
    shown = reading.snippet(body)
    assert len(shown) <= 200
    assert shown.isprintable()


def test_a_long_text_is_cut() -> None:
    assert reading.clean("x" * 500) == "x" * 199 + "…"
    assert reading.clean("y " * 50_000, 5) == "y y …"


def test_arguments_deeper_than_can_be_written_are_unreadable() -> None:
    deep: object = 1
    for _ in range(500):
        deep = [deep]
    assert reading.tool_call("id", "f", deep) is None
