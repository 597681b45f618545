"""Groups 23-29: HTTP that is odd, cut, slow, redirected, compressed, or none at all."""

from __future__ import annotations

import gzip
from typing import Final

import pytest

from headrace.testing import faults
from headrace.testing.faults import Body, Raw, Status
from tests.scenarios.bad_replies.meeting import WHOLE, Dialect, Pace, Row, each, meet, row

pytestmark = pytest.mark.once

# What never comes is not waited for.
SLOW: Final = Pace(timeout=16)


def http(head: str, body: bytes) -> bytes:
    """A reply by hand; ``head`` is the status line and the headers, one a line."""
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


def typed(kind: str) -> list[Row]:
    return [
        row(f"23 content type {kind!r}", Body(body, kind), "answer", d, completion="fine")
        for d, body in WHOLE.items()
    ]


def redirected(code: int, to: str) -> Row:
    return row(f"27 {code} to {to!r}", faults.Redirect(to, code), "stops", "openai")


def both(text: str) -> list[Row]:
    """A reply by hand around each dialect's good body; ``LENGTH`` is its length."""
    return [
        row(
            text.partition("\n")[0],
            Raw(http(text.partition("\n")[2].replace("LENGTH", str(len(body))), body), close=False),
            "answer",
            d,
            completion="fine",
        )
        for d, body in WHOLE.items()
    ]


OK: Final = "HTTP/1.1 200 OK"
CHUNKED: Final = b"%x\r\n%b\r\n0\r\nx-trailer: late\r\n\r\n" % (
    len(WHOLE["openai"]),
    WHOLE["openai"],
)
TWICE: Final = gzip.compress(gzip.compress(WHOLE["openai"]))
PACKED: Final = {"content-encoding": "gzip, gzip"}
TABLE: Final = [
    # 23
    *typed("text/html"),
    *typed("application/json; charset=latin-1"),
    *typed("application/json; charset=no-such"),
    *typed(""),
    *both(f"23 no content type\n{OK}\ncontent-length: LENGTH"),
    # 24
    row("24 length too short", faults.TooLongBody(cut=9), "outcome_unknown"),
    row("24 more than its length", faults.TooLongBody(), "outcome_unknown"),
    row("24 length too long", faults.DropWithin(), "outcome_unknown"),
    row("24 length of nonsense", Raw(http(f"{OK}\ncontent-length: x", b"{}")), "outcome_unknown"),
    row(
        "24 length and chunks",
        Raw(http(f"{OK}\ncontent-length: 5\ntransfer-encoding: chunked", CHUNKED)),
        "outcome_unknown",
        "openai",
    ),
    row("24 bad chunk size", faults.BadChunk(), "outcome_unknown"),
    row(
        "24 trailer",
        Raw(http(f"{OK}\ntransfer-encoding: chunked", CHUNKED)),
        "answer",
        "openai",
        completion="fine",
    ),
    # 25, 26
    row("25 reset before", faults.Reset(), "connection_lost"),
    row("25 reset within", faults.Reset(within=True), "outcome_unknown"),
    row("25 closed before", faults.DropBefore(), "connection_lost"),
    row("25 closed after the head", faults.DropWithin(0), "outcome_unknown"),
    row("26 dripping head", faults.Drip(5.0, "header"), "outcome_unknown", pace=SLOW),
    row("26 dripping body", faults.Drip(5.0), "outcome_unknown", pace=SLOW),
    row("26 silence", faults.Stall(), "outcome_unknown", pace=SLOW),
    row("26 silence within", faults.Stall(within=True), "outcome_unknown", pace=SLOW),
    # 27
    row(
        "27 100-continue",
        Raw(b"HTTP/1.1 100 Continue\r\n\r\n", then_answer=True),
        "answer",
        completion="echo: bad",
    ),
    row(
        "27 103 early hints",
        Raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", then_answer=True),
        "answer",
        completion="echo: bad",
    ),
    row("27 204", Body(b"", status=204), "unreadable_reply"),
    *[
        row(f"27 {code}", Body(WHOLE["openai"], status=code), "unreadable_reply")
        for code in (201, 206)
    ],
    *[redirected(code, "/v1/chat/completions") for code in (300, 301, 302, 303, 304, 307, 308)],
    *[
        redirected(307, to)
        for to in (
            "http://other.example/v1/chat/completions",
            "http://user:password@other.example/",
            "//",
            "file:///etc/passwd",
        )
    ],
    row("27 no location", Body(b"", status=302), "stops"),
    row(
        "27 location with CR",
        Raw(http("HTTP/1.1 302 Found\nlocation: /a\rx: y\ncontent-length: 0", b"")),
        "outcome_unknown",
    ),
    # 28
    row("28 bomb", faults.Bomb(1 << 28), "unreadable_reply", "openai"),
    row("28 bomb in chunks", faults.Bomb(1 << 28, chunked=True), "unreadable_reply", "openai"),
    row("28 gzip", faults.Gzip(), "answer", completion="echo: bad"),
    row("28 gzip twice", Body(TWICE, headers=PACKED), "unreadable_reply", "openai"),
    row("28 unknown", Body(b"x", headers={"content-encoding": "odd"}), "unreadable_reply"),
    row("28 no gzip", Body(b"x" * 99, headers={"content-encoding": "gzip"}), "outcome_unknown"),
    # 29
    row("29 a header of 20 kB", Status(500, headers={"x": "y" * 20_000}), "outcome_unknown"),
    row(
        "29 1,000 headers",
        Body(WHOLE["openai"], headers={f"x-{n}": "y" for n in range(1000)}),
        "outcome_unknown",
        "openai",
    ),
    row(
        "29 NUL in a header",
        Raw(http(f"{OK}\nx: a\0b\ncontent-length: 2", b"{}")),
        "outcome_unknown",
    ),
    row("29 garbage", Raw(b"\x16\x03\x01garbage\r\n\r\n"), "outcome_unknown"),
]


@each(TABLE)
def test_a_reply_that_is_bad_http(row: Row, dialect: Dialect) -> None:
    meet(row, dialect)
