"""Groups 30-32: refusals, how long they ask to wait, and in which of many ways."""

from __future__ import annotations

from typing import Final

import pytest

from headrace import LLMClient, NoRouteError
from headrace.testing import FakeServer, HurriedClock, run_hurried
from headrace.testing.faults import Status, limited
from tests.scenarios.bad_replies.meeting import (
    PAGE,
    QUOTA,
    USUAL,
    Dialect,
    Pace,
    Row,
    each,
    meet,
    row,
)

pytestmark = pytest.mark.once

FUTURE: Final = "Fri, 21 Nov 2036 08:00:05 GMT"
NOW: Final = "Fri, 21 Nov 2036 08:00:00 GMT"


def waits(written: str, quiet: float, **headers: str) -> Row:
    """A 429 with this retry-after, once."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    fault = Status(429, headers={"retry-after": written, **headers})
    return row(f"30 {written!r} {headers}", fault, "answer", times=1, quiet=quiet)


def resets(written: str, quiet: float, remaining: str = "0", pace: Pace = USUAL) -> Row:
    """A 429 that says when the limit is full again, once."""
    headers = {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": remaining,
        "x-ratelimit-reset-requests": written,
        "date": NOW,
    }
    fault = Status(429, headers=headers)
    name = f"31 {written!r}, {remaining} left"
    return row(name, fault, "answer", times=1, quiet=quiet, pace=pace)


TABLE: Final = [
    # 30: where nothing can be read, the first guess is half a second or more.
    *[
        waits(written, 0.25)
        for written in (
            "0",
            "-1",
            "nan",
            "inf",
            "5;",
            "",
            "x",
            FUTURE,
            "Sun, 01 Jan 100000 00:00:00 GMT",
        )
    ],
    waits("1.5", 1.5),
    waits(" 5 ", 5),
    waits(FUTURE, 5, date=NOW),
    waits("Friday, 21-Nov-36 08:00:05 GMT", 5, date=NOW),
    waits("Fri, 21 Nov 2036 07:00:00 GMT", 0.25, date=NOW),
    waits("1", 3, retry_after_ms="3000"),
    row("30 1e9", Status(429, headers={"retry-after": "1e9"}), "stops"),
    row(
        "30 two headers",
        Status(429, headers=(("retry-after", "2"), ("retry-after", "4"))),
        "answer",
        times=1,
        quiet=2,
    ),
    row("30 on a 503", Status(503, headers={"retry-after": "4"}), "answer", times=1, quiet=4),
    # 31
    resets("20ms", 0.02),
    resets("1m0s", 60, pace=Pace(200)),
    resets("2036-11-21T08:00:05Z", 5),
    resets("2016-11-21T08:00:05Z", 0.25),
    resets("5", 0.25, remaining="-1"),
    row(
        "31 1h2m",
        Status(
            429,
            headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h2m"},
        ),
        "stops",
    ),
    # 32
    row("32 429 without a hint", limited(), "answer", times=1, quiet=0.25),
    row("32 insufficient_quota", Status(429, QUOTA), "stops"),
    row("32 503 with HTML", Status(503, PAGE), "overloaded"),
    row("33 403 of a firewall that dislikes one prompt", Status(403, PAGE), "page"),
    row("32 500 once", Status(500), "answer", times=1, completion="echo: bad"),
    *[
        row(f"32 {code}", Status(code), outcome)
        for outcome, codes in {
            "overloaded": (408, 409, 425, 500, 502, 504, *range(520, 528), 529, 599),
            "rejected": (400, 415, 418, 422, 431, 451, 499),
            "too_long": (413,),
            "stops": (401, 402, 403, 404, 405, 407, 410),
            "unreadable_reply": (600, 799, 999),
        }.items()
        for code in codes
    ],
]


@each(TABLE)
def test_a_refusal(row: Row, dialect: Dialect) -> None:
    meet(row, dialect)


def test_a_storm_of_429s_stops_the_run_when_patience_ends() -> None:
    async def main() -> FakeServer:
        async with FakeServer(faults=lambda _: limited(0.5)) as server:
            client = LLMClient("openai/m", base_url=server.base_url, patience=10, clock=clock)
            with pytest.raises(NoRouteError, match=r"Rate limit reached.* patience=10 s"):
                await client.process_prompts_async(["a", "b", "c"], show_progress=False)
            await client.aclose()
        return server

    clock = HurriedClock(50)
    assert 10 < run_hurried(main(), clock).ledger.total <= 3 * 21
