"""How long an error asks us to wait, wherever it says so; each vendor's form is a golden case."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import RateLimitError
from headrace.core.reply import Reply
from headrace.wire import failure, hints

DAY = 86_400.0
NUMBERS = st.integers() | st.floats() | st.text("0123456789.-eE", max_size=400)
SAYINGS = st.builds(
    "{} {} {}{}{} {}".format,
    st.sampled_from(["Please try again", "retry", "Retrying", "wait", "trying again"]),
    st.sampled_from(["in", "after", "for", "in about", "~"]),
    NUMBERS,
    st.sampled_from(["", " ", "\u00a0"]),
    st.sampled_from(
        ["s", "ms", "m", "h", "days", "seconds", "µs", "μs", "\u017f", "minutes and 5s"]
    ),
    st.text(max_size=10),
)
FIELDS = [
    *("error", "message", "code", "type", "details", "metadata", "headers"),
    *("violations", "quotaId", "quota_limit", "retryDelay"),
    *("retry-after", "X-RateLimit-Reset", "x-ratelimit-remaining"),
]
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | SAYINGS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("try again in 1.2s", 1.2),
        ("Please try again in 6m0s. Visit us.", 360.0),
        ("try again in 20ms", 0.02),
        ("try again in 850µs", 0.00085),
        ("try again in 1h2m3.5s", 3_723.5),
        ("Please retry after 7 seconds.", 7.0),
        ("Please retry in 34.074824224s.", 34.074824224),
        ("wait 42 seconds before retrying", 42.0),
        ("wait 8 hours 24 minutes and try again", 30_240.0),
        ("try again in 1 hour, 2 minutes, and 3 seconds", 3_723.0),
        ("wait for 1 minute", 60.0),
        ("retry in about 2 min", 120.0),
        ("try again in ~3s", 3.0),
        ("TRY AGAIN IN 5 SECS", 5.0),
        ("try again in 0s", 0.0),
        ("try again in 58 hours", DAY),
        (f"try again in {'9' * 5_000}d", DAY),
        ("try again later", None),
        ("try again in a moment", None),
        ("try again in 7", None),
        ("try again in -7s", None),
        ("try again in NaN seconds", None),
        ("try again in 3 steps", None),
        ("try again in 3 month", None),
        ("await 3s", None),
        ("the limit is 3 seconds", None),
        ("", None),
    ],
)
def test_words(words: str, seconds: float | None) -> None:
    said = hints.in_words(words)
    assert said == (None if seconds is None else pytest.approx(seconds))


def check_hint(reply: Reply) -> None:
    error = failure.from_reply(reply)
    assert error.hint is None or 0 <= error.hint <= DAY
    assert error.message.isprintable()
    error.to_dict()


@given(VALUES, st.sampled_from([400, 402, 403, 429, 500, 503]))
def test_no_body_makes_it_raise(value: object, status: int) -> None:
    check_hint(Reply(status, json.dumps(value).encode(), {"date": "Sun, 22 Nov 2026 06:00:00 GMT"}))


@given(SAYINGS | st.text(max_size=50))
def test_no_words_make_it_raise(words: str) -> None:
    check_hint(Reply(429, words.encode("utf-8", "replace")))


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_longest_counts(header: float, field: float, words: float) -> None:
    body = {
        "error": {
            "message": f"try again in {words:.3f}s",
            "details": [{"retryDelay": f"{field:.3f}s"}],
        }
    }
    reply = Reply(429, json.dumps(body).encode(), {"retry-after": f"{header:.3f}"})
    error = failure.from_reply(reply)
    assert isinstance(error, RateLimitError)
    assert error.hint == pytest.approx(min(max(header, field, words), DAY), abs=0.001)
