"""Groups 1-10: bodies that are no answer, or hardly one."""

from __future__ import annotations

from typing import Final

import orjson
import pytest

from headrace import LLMClient
from headrace.testing import FakeServer, RequestSeen, faults
from headrace.testing.faults import Body, Fault
from tests.scenarios.bad_replies.meeting import (
    BOTH,
    OPENAI,
    PAGE,
    QUOTA,
    WHOLE,
    Dialect,
    Row,
    address,
    each,
    meet,
    row,
)

pytestmark = pytest.mark.once


def swapped(old: bytes, new: bytes) -> list[tuple[Dialect, bytes]]:
    """The good bodies with something replaced in them."""
    found = [(dialect, WHOLE[dialect].replace(old, new)) for dialect in BOTH]
    assert all(body != WHOLE[dialect] for dialect, body in found)
    return found


def said(kind: str, **more: object) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": "no", **more}})


TABLE: Final = [
    # 2, 3, 4
    row("2 HTML with 200", Body(PAGE.encode(), "text/html"), "page"),
    row("2 HTML with 200, called JSON", PAGE, "page"),
    row("3 overloaded with 200", said("overloaded_error"), "overloaded"),
    row("3 server error with 200", said("server_error"), "overloaded"),
    row("3 bad request with 200", said("invalid_request_error"), "rejected"),
    row("3 rate limit with 200", said("rate_limit_error"), "answer", times=1, quiet=0.25),
    row("3 wrong key with 200", said("authentication_error"), "stops"),
    row("3 quota with 200", QUOTA, "stops"),
    row("3 unknown error with 200", said("odd_error"), "unreadable_reply"),
    row("3 error as text with 200", b'{"error":"no"}', "unreadable_reply"),
    row(
        "3 no error", orjson.dumps({**OPENAI, "error": None}), "answer", "openai", completion="fine"
    ),
    row("4 empty", b"", "unreadable_reply"),
    row("4 whitespace", b" \r\n\t ", "unreadable_reply"),
    *[row(f"4 {text}", text, "unreadable_reply") for text in ("null", "[]", '"str"', "0", "{}")],
    row("4 a list of answers", b"[%b]" % WHOLE["openai"], "unreadable_reply"),
    # 5
    *[
        row("5 BOM", b"\xef\xbb\xbf" + body, "answer", d, completion="fine")
        for d, body in WHOLE.items()
    ],
    *[
        row("5 UTF-16", body.decode().encode("utf-16"), "unreadable_reply", d)
        for d, body in WHOLE.items()
    ],
    *[row("5 invalid UTF-8", b, "unreadable_reply", d) for d, b in swapped(b"fine", b"f\xff")],
    *[
        row("5 lone surrogate", b, "answer", d, completion="f�")
        for d, b in swapped(b"fine", rb"f\ud800")
    ],
    # 6, 7, 8, 9
    *[
        row(f"6 {number.decode()} tokens", body, "unreadable_reply", d)
        for number in (b"NaN", b"Infinity", b"1e999")
        for d, body in swapped(b'tokens":1', b'tokens":' + number)
    ],
    row(
        "7 content twice",
        WHOLE["openai"].replace(b'"content":"fine"', b'"content":"first","content":"last"'),
        "answer",
        "openai",
        completion="last",
    ),
    row("8 depth", b"[" * 200_000, "unreadable_reply"),
    row(
        "8 depth within",
        b'{"choices":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        "unreadable_reply",
    ),
    *[
        row(f"9 {name} tokens", body, "answer", d, completion="fine", usage=None)
        for name, number in (("negative", b"-1"), ("fractions of", b"1.5"), ("text", b'"1"'))
        for d, body in swapped(b'tokens":1', b'tokens":' + number)
    ],
    *[
        row("9 300 digits of tokens", body, "answer", d, completion="fine", usage=None)
        for d, body in swapped(b'tokens":1', b'tokens":' + b"1" * 300)
    ],
    *[
        row("9 5,000 digits of tokens", body, "unreadable_reply", d)
        for d, body in swapped(b'tokens":1', b'tokens":' + b"1" * 5000)
    ],
    # 10
    row("10 a gigabyte", faults.Oversized(1 << 30), "unreadable_reply", "openai"),
    row(
        "10 a gigabyte in chunks",
        faults.Oversized(1 << 30, chunked=True),
        "unreadable_reply",
        "openai",
    ),
]


@each(TABLE)
def test_a_body_that_is_no_answer(row: Row, dialect: Dialect) -> None:
    meet(row, dialect)


def cut(seen: RequestSeen) -> Fault:
    """The good body, cut after as many bytes as the prompt says."""
    whole = WHOLE["anthropic" if seen.dialect == "anthropic" else "openai"]
    return Body(whole[: int(seen.prompt)])


@pytest.mark.parametrize("dialect", BOTH)
def test_a_body_cut_at_any_byte_is_no_answer(dialect: Dialect) -> None:
    prompts = [str(size) for size in range(len(WHOLE[dialect]))]
    with FakeServer.in_thread(faults=cut) as server:
        url = address(server, dialect)
        with_one_try = LLMClient(f"{dialect}/m", base_url=url, max_attempts=1)
        try:
            responses = with_one_try.process_prompts_sync(prompts, show_progress=False)
        finally:
            with_one_try.close()
        assert server.ledger.total == len(prompts)
    assert {r.error.code for r in responses.failed if r.error} == {"unreadable_reply"}
    assert len(responses.failed) == len(prompts)
