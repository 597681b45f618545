"""Refusals become errors that say what happened and what to do, and give no secret away."""

from __future__ import annotations

import json

import pytest

from headrace.core.errors import (
    GoneError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    RejectedError,
    ReplyError,
)
from headrace.core.reply import Reply
from headrace.wire import failure

REDIRECT = (
    "the server answered 307, a redirect, and redirects are off; set base_url to the final address"
)


def refusal(status: int, message: str, **headers: str) -> ProviderError:
    body = json.dumps({"error": {"message": message}}).encode()
    return failure.from_reply(Reply(status, body, headers))


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": {"message": "x"}}', b"[" * 5000])
def test_a_200_is_left_to_the_codec(body: bytes) -> None:
    failure.check(Reply(200, body))


@pytest.mark.parametrize(
    ("status", "message", "sentence"),
    [
        (
            503,
            "Loading model",
            "the server answered 503: Loading model; try again a little later",
        ),
        (400, "n must be 1.", "the server answered 400: n must be 1; change this request"),
        (401, "no key", "the server answered 401: no key; check the API key"),
        (404, "", "the server answered 404; check the model's name and the base_url"),
        (
            307,
            "",
            REDIRECT,
        ),
    ],
)
def test_the_message_says_what_happened_and_what_to_do(
    status: int, message: str, sentence: str
) -> None:
    assert refusal(status, message).message == sentence


def test_an_unreadable_reply_shows_its_beginning() -> None:
    reply = Reply(202, b"<p>please \x1b[31m wait</p>" + b"x" * 500, {"retry-after": "4"})
    error = failure.from_reply(reply)
    assert isinstance(error, ReplyError)
    assert 'it begins "<p>please [31m wait</p>xxx' in error.message
    assert len(error.message) < 400
    assert error.hint == 4.0
    assert error.reply is reply


def test_a_long_message_is_cut_and_forged_lines_are_joined() -> None:
    message = refusal(400, "a\nERROR forged\r\n" + "b" * 1000).message
    assert message.startswith("the server answered 400: a ERROR forged bbb")
    assert len(message) < 400


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 200])
def test_no_key_is_given_away(status: int) -> None:
    key = "sk-CANARY0123456789abcdef"
    body = json.dumps({"error": {"message": f"bad key {key}", "code": key, "param": key}}).encode()
    reply = Reply(status, body, {"x-request-id": key})
    error = failure.from_error_object(json.loads(body), reply)
    if status != 200:
        error = failure.from_reply(reply)
    assert "CANARY" not in error.message
    assert "CANARY" not in json.dumps(error.to_dict())
    assert "CANARY" not in repr(error)


def test_details_are_plain_data() -> None:
    body = b'{"error": {"message": "x", "type": "t", "code": {"a": 1}, "param": ["b"]}}'
    assert failure.from_reply(Reply(400, body)).details == {"type": "t"}
    assert failure.from_reply(Reply(400, b"")).details is None


@pytest.mark.parametrize(
    ("wish", "status", "kind"),
    [
        ("true", 403, OverloadedError),
        ("true", 429, RateLimitError),
        ("true", 302, GoneError),
        ("false", 529, RejectedError),
        ("false", 403, GoneError),
        ("false", 202, ReplyError),
    ],
)
def test_the_servers_wish_wins_over_the_status(
    wish: str, status: int, kind: type[ProviderError]
) -> None:
    error = failure.from_reply(Reply(status, b"", {"x-should-retry": wish}))
    assert type(error) is kind


def test_the_door_to_limits_is_here() -> None:
    """The engine and the transport know this module only."""
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}
    assert failure.hint(headers, failure.TOO_MANY_REQUESTS) == 2.0
    assert failure.read_limits(headers) == failure.Limits(requests=failure.Limit(None, 0.0, 2.0))
    assert failure.read_limits({}) is failure.NO_LIMITS
    assert failure.keeps("date")


def test_trouble_within_an_answer_can_be_tried_again() -> None:
    reply = Reply(200, b"{}", {"retry-after": "1"})
    error = failure.overloaded(reply, "finish_reason\nerror")
    assert error.repeat_here
    assert error.reply is reply
    assert error.hint == 1.0
    assert '"finish_reason error"' in error.message
