"""What servers ask us to wait, and what they say is left, in every form they write it in."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.wire.limits import NO_LIMITS, Limit, Limits, hint, keeps, read_limits, reset_after

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
NAMES = [
    "date",
    "retry-after",
    "retry-after-ms",
    *(f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")),
    *(f"x-ratelimit-{what}-tokens-minute" for what in ("limit", "remaining", "reset")),
    *(f"anthropic-ratelimit-input-tokens-{what}" for what in ("limit", "remaining", "reset")),
]
WRITTEN = st.text(max_size=40) | st.from_regex(r"[-+ 0-9a-zA-Z:,.µ_;e]{0,40}", fullmatch=True)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("0", 0.0),
        ("5", 5.0),
        (" 5 ", 5.0),
        ("1.5", 1.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1e9", 86_400.0),
        ("86401", 86_400.0),
        ("9" * 40, 86_400.0),
        ("9" * 400, None),
        ("1e999", None),
        ("-1", None),
        ("+5", None),
        ("nan", None),
        ("inf", None),
        ("5;", None),
        ("5, 10", None),
        ("5s", None),
        ("1_000", None),
        ("\u0665", None),
        ("²", None),
        ("", None),
        ("soon", None),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        ("Sun Nov  6 08:49:47 1994", 10.0),
        ("Sun, 06 Nov 1994 09:49:47 +0100", 10.0),
        ("Mon, 06 Nov 1995 08:49:37 GMT", 86_400.0),
        (DATE, 0.0),
        ("Sun, 06 Nov 1994 08:49:36 GMT", None),
        ("Sun, 06 Nov 100000 08:49:37 GMT", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [200, 429, 503])
def test_retry_after(written: str, seconds: float | None, status: int) -> None:
    assert hint({"retry-after": written, "date": DATE}, status) == seconds


@pytest.mark.parametrize("date", [{}, {"date": ""}, {"date": "today"}])
def test_a_date_without_the_servers_own_date_says_nothing(date: dict[str, str]) -> None:
    assert hint({"retry-after": "Sun, 06 Nov 2994 08:49:47 GMT"} | date, 503) is None


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [("1500", 1.5), ("0", 0.0), ("0.5", 0.0005), ("1e12", 86_400.0), ("-1", 7.0), ("x", 7.0)],
)
def test_milliseconds_win_where_they_can_be_read(milliseconds: str, seconds: float) -> None:
    assert hint({"retry-after-ms": milliseconds, "retry-after": "7"}, 429) == seconds


def test_without_headers_there_is_no_hint() -> None:
    assert hint({}, 429) is None


def _left(requests: str, tokens: str, **more: str) -> dict[str, str]:
    return {
        "x-ratelimit-remaining-requests": requests,
        "x-ratelimit-reset-requests": "20s",
        "x-ratelimit-remaining-tokens": tokens,
        "x-ratelimit-reset-tokens": "6m0s",
        **more,
    }


@pytest.mark.parametrize(
    ("headers", "status", "seconds"),
    [
        (_left("0", "5"), 429, 20.0),
        (_left("5", "0"), 429, 360.0),
        (_left("0", "0"), 429, 360.0),
        (_left("5", "5"), 429, None),
        (_left("-1", "x"), 429, None),
        (_left("0", "0"), 503, None),
        (_left("0", "0") | {"retry-after": "3"}, 429, 3.0),
        (_left("0", "0") | {"retry-after": "-3"}, 429, 360.0),
        (_left("0", "0") | {"retry-after": "0"}, 429, 360.0),
        (_left("5", "5") | {"retry-after": "0"}, 429, 0.0),
        ({"x-ratelimit-remaining-requests": "0"}, 429, None),
    ],
)
def test_a_429_without_a_hint_waits_for_what_is_used_up(
    headers: dict[str, str], status: int, seconds: float | None
) -> None:
    assert hint(headers, status) == seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("12ms", 0.012),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("2m59.56s", 179.56),
        ("500us", 0.0005),
        ("500µs", 0.0005),
        ("5ns", 5e-9),
        (" 20ms ", 0.02),
        ("99h", 86_400.0),
        ("7", 7.0),
        ("0.25", 0.25),
        ("784111787", 86_400.0),
        ("1994-11-06T08:49:47Z", 10.0),
        ("1994-11-06T08:49:47.5Z", 10.5),
        ("1994-11-06T09:49:47+01:00", 10.0),
        ("1994-11-06T08:49:47", 10.0),
        ("1994-11-06T08:49:36Z", None),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("-5s", None),
        ("-5", None),
        ("5 s", None),
        ("s", None),
        ("9" * 400 + "s", None),
        ("", None),
        ("never", None),
        (None, None),
    ],
)
def test_resets(written: str | None, seconds: float | None) -> None:
    found = reset_after(written, {"date": DATE})
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("1700000010", 10.0), ("1700000010000", 10.0), ("1699999999", None), ("9e99", None)],
)
def test_resets_as_times_since_the_epoch(written: str, seconds: float | None) -> None:
    assert reset_after(written, {"date": "Tue, 14 Nov 2023 22:13:20 GMT"}) == seconds


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, NO_LIMITS),
        ({"date": DATE, "content-type": "x"}, NO_LIMITS),
        (
            {
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "499",
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-limit-tokens": "30000",
                "x-ratelimit-remaining-tokens": "29000",
                "x-ratelimit-reset-tokens": "2s",
            },
            Limits(requests=Limit(500, 499, 0.12), tokens=Limit(30000, 29000, 2.0)),
        ),
        (
            {
                "x-ratelimit-limit-project-tokens": "7",
                "x-ratelimit-remaining-project-tokens": "6",
            },
            Limits(tokens=Limit(7, 6)),
        ),
        (
            {
                "date": DATE,
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "1994-11-06T08:49:38Z",
                "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-input-tokens-remaining": "39000",
                "anthropic-ratelimit-output-tokens-limit": "8000",
                "anthropic-ratelimit-tokens-remaining": "1",
            },
            Limits(
                requests=Limit(50, 0, 1.0),
                tokens=Limit(None, 1),
                input_tokens=Limit(40000, 39000),
                output_tokens=Limit(8000),
            ),
        ),
        (
            {
                "x-ratelimit-limit-req-minute": "60",
                "x-ratelimit-remaining-req-minute": "59",
                "x-ratelimit-limit-tokens-minute": "500000",
                "x-ratelimit-remaining-tokens-minute": "1000",
            },
            Limits(requests=Limit(60, 59, None, 60.0), tokens=Limit(500000, 1000, None, 60.0)),
        ),
        (
            {"ratelimitbysize-limit": "9", "ratelimitbysize-reset": "5"},
            Limits(tokens=Limit(9, None, 5.0, 60.0)),
        ),
        (
            {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9.5", "x-tokenlimit-limit": "99"},
            Limits(requests=Limit(10, 9.5, None, 1.0), tokens=Limit(99, None, None, 1.0)),
        ),
        (
            {
                "x-ratelimit-limit-requests-day": "14400",
                "x-ratelimit-reset-requests-day": "33011.38",
                "x-ratelimit-limit-tokens-minute": "60000",
                "x-ratelimit-reset-tokens-minute": "11.38",
            },
            Limits(
                requests=Limit(14400, None, 33011.38, 86_400.0),
                tokens=Limit(60000, None, 11.38, 60.0),
            ),
        ),
        (
            {
                "x-ratelimit-limit-requests-day": "14400",
                "x-ratelimit-limit-requests-minute": "30",
                "x-ratelimit-remaining-requests-minute": "-1",
            },
            Limits(requests=Limit(30, None, None, 60.0)),
        ),
        (
            {
                "x-ratelimit-limit-requests": "600",
                "x-ratelimit-limit-tokens-prompt": "60000",
                "x-ratelimit-limit-tokens-generated": "6000",
                "x-ratelimit-over-limit": "yes",
            },
            Limits(requests=Limit(600), input_tokens=Limit(60000), output_tokens=Limit(6000)),
        ),
        ({"x-ratelimit-limit-requests": "many", "x-ratelimit-limit": "3"},
         Limits(requests=Limit(3, None, None, 1.0))),
        (
            {
                "x-ratelimit-limit-requests": "600",
                "openai-organization": "org-of-many",
                "openai-project": "proj_one",
            },
            Limits(requests=Limit(600), account="org-of-many proj_one"),
        ),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-organization-id": "0b1c",
                "anthropic-workspace-id": "wrkspc_1",
            },
            Limits(requests=Limit(50), account="0b1c wrkspc_1"),
        ),
        ({"openai-organization": "org-of-many"}, NO_LIMITS),
    ],
    ids=["none", "others", "OpenAI", "project", "Anthropic", "Mistral", "Mistral by size",
         "Together", "Cerebras", "minute before day", "Fireworks", "unreadable",
         "account of OpenAI", "account of Anthropic", "account alone"],
)  # fmt: skip
def test_limits(headers: dict[str, str], limits: Limits) -> None:
    assert read_limits(headers) == limits


@given(st.dictionaries(st.sampled_from(NAMES), WRITTEN), st.integers(0, 999))
@example({"retry-after": "Sun, 06 Nov 0000 08:49:37 GMT", "date": DATE}, 429)
@example({"date": "Mon, 01 Jan 0001 00:00:00 +2359", "retry-after": DATE}, 429)
def test_no_header_is_too_odd(headers: dict[str, str], status: int) -> None:
    asked = hint(headers, status)
    assert asked is None or 0 <= asked <= 86_400
    for limit in (read_limits(headers).requests, read_limits(headers).tokens):
        if limit is not None:
            assert limit.reset is None or 0 <= limit.reset <= 86_400
            assert limit.remaining is None or limit.remaining >= 0


@given(st.floats(0, 86_400, allow_subnormal=False))
def test_seconds_survive_being_written(seconds: float) -> None:
    assert hint({"retry-after": repr(seconds)}, 429) == seconds
    assert hint({"retry-after-ms": repr(seconds * 1000)}, 429) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "name",
    [
        "content-type",
        "date",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-request-id",
        "request-id",
        "openai-processing-ms",
        "x-ratelimit-limit-requests",
        "anthropic-ratelimit-tokens-reset",
        "ratelimitbysize-limit",
        "x-tokenlimit-remaining",
        "fireworks-server-processing-time",
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
        "anthropic-workspace-id",
    ],
)
def test_headers_worth_keeping(name: str) -> None:
    assert keeps(name)


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "server", "location", "authorization", "content-length", "not-retry-after"],
)
def test_headers_not_worth_keeping(name: str) -> None:
    assert not keeps(name)
