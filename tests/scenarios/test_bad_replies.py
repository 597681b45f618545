"""Bad replies, each in a run of its own between two good rows, for both dialects.

A bad reply becomes a typed error or the answer that it still is; it is sent again or not by its
class; it never hangs, never ends the run (unless it closes the last route), never touches another
row. The groups are those of the list of bad inputs that the engine was built against: 1-18 bodies,
23-32 headers and transport.
"""

from __future__ import annotations

import copy
import gzip
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import orjson
import pytest

from headrace import APIResponse, LLMClient, Usage
from headrace.core.errors import NoRouteError, ProviderError
from headrace.testing import FakeServer, HurriedClock, RequestSeen, faults, run_hurried
from headrace.testing.faults import Body, Fault, Raw, Status, limited

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Dialect: TypeAlias = Literal["openai", "anthropic"]
BOTH: Final[tuple[Dialect, ...]] = ("openai", "anthropic")
PROMPTS: Final = ["good 0", "bad", "good 2"]
ATTEMPTS: Final = 2

# How often a row is sent that always meets the same error, with max_attempts=2.
SENDS: Final = {
    "unreadable_reply": ATTEMPTS,
    "outcome_unknown": ATTEMPTS,
    "overloaded": ATTEMPTS,
    "not_sent": ATTEMPTS,
    "rate_limited": ATTEMPTS * 4,
    "rejected": 1,
    "too_long": 1,
    "filtered": 1,
    "stops": 1,
}

OPENAI: Final[dict[str, Any]] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "fake",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "fine"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
ANTHROPIC: Final[dict[str, Any]] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "fake",
    "content": [{"type": "text", "text": "fine"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
WHOLE: Final[dict[Dialect, bytes]] = {
    "openai": orjson.dumps(OPENAI),
    "anthropic": orjson.dumps(ANTHROPIC),
}
MISSING: Final = "left out"


class Row(NamedTuple):
    """A bad reply and what it comes to: ``"answer"``, ``"stops"``, or the code of an error.

    ``holds`` are fields of the answer. The reply is met ``times`` times (None: always), after which
    the row is answered well; ``quiet`` is how many seconds the client then waits at least.
    """

    name: str
    fault: Fault
    outcome: str
    holds: dict[str, object]
    dialects: tuple[Dialect, ...]
    times: int | None
    quiet: float
    seconds: float
    rate: int


def row(
    name: str,
    fault: Fault | bytes | str,
    outcome: str,
    *dialects: Dialect,
    times: int | None = None,
    quiet: float = 0.0,
    seconds: float = 100.0,
    rate: int = 50,
    **holds: object,
) -> Row:
    if isinstance(fault, bytes | str):
        fault = Body(fault if isinstance(fault, bytes) else fault.encode())
    return Row(name, fault, outcome, holds, dialects or BOTH, times, quiet, seconds, rate)


def _merged(base: dict[str, Any], changes: dict[str, object]) -> bytes:
    data = {**base, **changes}
    return orjson.dumps({name: value for name, value in data.items() if value is not MISSING})


def top(**changes: object) -> bytes:
    """An OpenAI body with other fields at the top."""
    return _merged(OPENAI, changes)


def choice(**changes: object) -> bytes:
    """An OpenAI body with another choice."""
    data = copy.deepcopy(OPENAI)
    data["choices"][0].update(changes)
    [only] = data["choices"]
    data["choices"] = [{name: value for name, value in only.items() if value is not MISSING}]
    return orjson.dumps(data)


def message(**changes: object) -> bytes:
    """An OpenAI body with another message."""
    return choice(message={"role": "assistant", "content": "fine", **changes})


def claude(**changes: object) -> bytes:
    """An Anthropic body with other fields."""
    return _merged(ANTHROPIC, changes)


NO_USAGE: Final[tuple[object, ...]] = (MISSING, None, [], "many", {}, {"prompt_tokens": 2**60})
MADE: Final[tuple[tuple[Dialect, Callable[..., bytes]], ...]] = (
    ("openai", top),
    ("anthropic", claude),
)


def tools(*calls: dict[str, object]) -> bytes:
    """An OpenAI body that calls tools."""
    data = copy.deepcopy(OPENAI)
    asked = [{"id": "call_1", "type": "function", "function": call} for call in calls]
    data["choices"][0].update(
        message={"role": "assistant", "content": None, "tool_calls": asked},
        finish_reason="tool_calls",
    )
    return orjson.dumps(data)


def http(head: str, body: bytes) -> bytes:
    """A reply by hand; ``head`` is the status line and the headers, one a line."""
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


def swapped(old: bytes, new: bytes) -> list[tuple[Dialect, bytes]]:
    """The good bodies with something replaced in them."""
    found = [(dialect, WHOLE[dialect].replace(old, new)) for dialect in BOTH]
    assert all(body != WHOLE[dialect] for dialect, body in found)
    return found


PAGE: Final = "<!doctype html><html><head><title>502 Bad Gateway</title></head></html>"
QUOTA: Final = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
FUTURE: Final = "Fri, 21 Nov 2036 08:00:05 GMT"
NOW: Final = "Fri, 21 Nov 2036 08:00:00 GMT"


def said(kind: str, **more: object) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": "no", **more}})


BODIES: Final = [
    # 2, 3, 4
    row("2 HTML with 200", Body(PAGE.encode(), "text/html"), "unreadable_reply"),
    row("2 HTML with 200, called JSON", PAGE, "unreadable_reply"),
    row("3 overloaded with 200", said("overloaded_error"), "overloaded"),
    row("3 server error with 200", said("server_error"), "overloaded"),
    row("3 bad request with 200", said("invalid_request_error"), "rejected"),
    row("3 rate limit with 200", said("rate_limit_error"), "rate_limited", rate=200),
    row("3 wrong key with 200", said("authentication_error"), "stops"),
    row("3 quota with 200", orjson.dumps(QUOTA), "stops"),
    row("3 unknown error with 200", said("odd_error"), "unreadable_reply"),
    row("3 error as text with 200", b'{"error":"no"}', "unreadable_reply"),
    row("3 no error", top(error=None), "answer", "openai", completion="fine"),
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
        row("9 a number of 5,000 digits", body, "answer", d, completion="fine", usage=None)
        for d, body in swapped(b'tokens":1', b'tokens":' + b"1" * 300)
    ],
    # 10
    row("10 a gigabyte", faults.Oversized(1 << 30), "unreadable_reply", "openai"),
    row(
        "10 a gigabyte in chunks",
        faults.Oversized(1 << 30, chunked=True),
        "unreadable_reply",
        "openai",
    ),
    # 11, 12
    row("11 no choices", top(choices=[]), "unreadable_reply", "openai"),
    row("11 null choices", top(choices=None), "unreadable_reply", "openai"),
    row("11 missing choices", top(choices=MISSING), "unreadable_reply", "openai"),
    row("11 choices of null", top(choices=[None]), "unreadable_reply", "openai"),
    row("11 no message", choice(message=None), "unreadable_reply", "openai"),
    row("11 null content", claude(content=None), "unreadable_reply", "anthropic"),
    row("11 missing content", claude(content=MISSING), "unreadable_reply", "anthropic"),
    row(
        "11 no content, no reason",
        claude(content=[], stop_reason=None),
        "unreadable_reply",
        "anthropic",
    ),
    row("11 content of null", claude(content=[None]), "unreadable_reply", "anthropic"),
    row("12 null content", message(content=None), "unreadable_reply", "openai"),
    row("12 a number as content", message(content=7), "unreadable_reply", "openai"),
    row(
        "12 parts",
        message(content=[{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]),
        "answer",
        "openai",
        completion="fine",
    ),
    row("12 refusal", message(content=None, refusal="I will not"), "filtered", "openai"),
    row("12 refusal", claude(content=[], stop_reason="refusal"), "filtered", "anthropic"),
    # 13
    *[
        row(f"13 finish {raw!r}", choice(finish_reason=raw), "answer", "openai", finish_reason=kept)
        for raw, kept in (("odd", "other"), (None, None), (MISSING, None), ("length", "length"))
    ],
    *[
        row(
            f"13 finish {raw!r}", claude(stop_reason=raw), "answer", "anthropic", finish_reason=kept
        )
        for raw, kept in (("odd", "other"), (None, None), (MISSING, None), ("max_tokens", "length"))
    ],
    row(
        "13 filtered with text",
        choice(finish_reason="content_filter"),
        "answer",
        "openai",
        completion="fine",
        finish_reason="filtered",
    ),
    row(
        "13 filtered without",
        choice(finish_reason="content_filter", message={"content": None}),
        "filtered",
        "openai",
    ),
    row("13 broken off", choice(finish_reason="error"), "overloaded", "openai"),
    # 14
    row(
        "14 arguments that are no JSON", tools({"name": "f", "arguments": "{"}), "answer", "openai"
    ),
    row("14 arguments that are a list", tools({"name": "f", "arguments": [1]}), "answer", "openai"),
    row(
        "14 two calls of one id",
        tools({"name": "f", "arguments": "{}"}, {"name": "g", "arguments": "{}"}),
        "answer",
        "openai",
        finish_reason="tool",
    ),
    row("14 a call of nothing", tools({"arguments": "{}"}), "unreadable_reply", "openai"),
    row(
        "14 an input that is text",
        claude(content=[{"type": "tool_use", "id": "t", "name": "f", "input": "{"}]),
        "answer",
        "anthropic",
    ),
    row(
        "14 a call of nothing",
        claude(content=[{"type": "tool_use"}]),
        "unreadable_reply",
        "anthropic",
    ),
    # 15, 16, 17, 18
    *[
        row(f"15 usage {value!r}", make(usage=value), "answer", d, completion="fine", usage=None)
        for d, make in MADE
        for value in NO_USAGE
    ],
    row(
        "15 usage of nothing",
        top(usage={"prompt_tokens": 0, "completion_tokens": 0}),
        "answer",
        "openai",
        usage=Usage(),
    ),
    row("16 another model", top(model="other-1"), "answer", "openai", model="other-1"),
    row("16 another model", claude(model="other-1"), "answer", "anthropic", model="other-1"),
    row("16 no model", top(model=None), "answer", "openai", model="m"),
    row(
        "17 two choices",
        top(choices=[{"index": n, "message": {"content": str(n)}} for n in (1, 0)]),
        "answer",
        "openai",
        completion="0",
    ),
    row(
        "18 reasoning alone",
        message(content=None, reasoning_content="hm"),
        "answer",
        "openai",
        completion="",
        thinking="hm",
    ),
    row("18 empty text", message(content=""), "answer", "openai", completion=""),
    row(
        "18 thinking alone",
        claude(content=[{"type": "thinking", "thinking": "hm"}]),
        "answer",
        "anthropic",
        completion="",
        thinking="hm",
    ),
    row("18 nothing, and a reason", claude(content=[]), "answer", "anthropic", completion=""),
]


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
TRANSPORT: Final = [
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
    row("25 reset before", faults.Reset(), "outcome_unknown"),
    row("25 reset within", faults.Reset(within=True), "outcome_unknown"),
    row("25 closed before", faults.DropBefore(), "outcome_unknown"),
    row("25 closed after the head", faults.DropWithin(0), "outcome_unknown"),
    row("26 dripping head", faults.Drip(5.0, "header"), "outcome_unknown", seconds=8),
    row("26 dripping body", faults.Drip(5.0), "outcome_unknown", seconds=8),
    row("26 silence", faults.Stall(), "outcome_unknown", seconds=8),
    row("26 silence within", faults.Stall(within=True), "outcome_unknown", seconds=8),
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
    row("28 bomb", faults.Bomb(1 << 30), "unreadable_reply", "openai"),
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


def waits(written: str, quiet: float, **headers: str) -> Row:
    """A 429 with this retry-after, once."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    fault = Status(429, headers={"retry-after": written, **headers})
    return row(f"30 {written!r} {headers}", fault, "answer", times=1, quiet=quiet)


def resets(written: str, quiet: float, remaining: str = "0", rate: int = 50) -> Row:
    """A 429 that says when the limit is full again, once."""
    headers = {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": remaining,
        "x-ratelimit-reset-requests": written,
        "date": NOW,
    }
    fault = Status(429, headers=headers)
    name = f"31 {written!r}, {remaining} left"
    return row(name, fault, "answer", times=1, quiet=quiet, rate=rate)


LIMITS: Final = [
    # 30: where nothing can be read, the first guess is half a second or more.
    *[
        waits(written, 0.5)
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
    waits("Fri, 21 Nov 2036 07:00:00 GMT", 0.5, date=NOW),
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
    resets("6m0s", 360, rate=400),
    resets("2036-11-21T08:00:05Z", 5),
    resets("2016-11-21T08:00:05Z", 0.5),
    resets("5", 0.5, remaining="-1"),
    row(
        "31 1h2m",
        Status(
            429,
            headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h2m"},
        ),
        "stops",
    ),
    # 32
    row("32 429 for ever", limited(0.01), "rate_limited"),
    row("32 429 without a hint", limited(), "answer", times=1, quiet=0.5),
    row("32 insufficient_quota", Status(429, orjson.dumps(QUOTA)), "stops"),
    row("32 503 with HTML", Status(503, PAGE), "overloaded"),
    row("32 500 once", Status(500), "answer", times=1, completion="echo: bad"),
    *[
        row(f"32 {code}", Status(code), outcome)
        for outcome, codes in {
            "overloaded": (408, 409, 425, 500, 502, 504, *range(520, 528), 529, 599),
            "rejected": (400, 405, 415, 418, 422, 431, 451, 499),
            "too_long": (413,),
            "stops": (401, 402, 403, 404, 407),
            "unreadable_reply": (600, 799, 999),
        }.items()
        for code in codes
    ],
]


class Run:
    """One run of three rows, the middle one of which meets a bad reply."""

    def __init__(self, bad: Row, dialect: Dialect) -> None:
        self.bad = bad
        self.dialect = dialect
        self.clock = HurriedClock(bad.rate)
        self.sent_at: list[int] = []
        self.stopped: NoRouteError | None = None
        self.responses: list[APIResponse[Any]] = []

    def plan(self, seen: RequestSeen) -> Fault | None:
        if seen.prompt != "bad":
            return None
        self.sent_at.append(self.clock.now())
        return self.bad.fault if self.bad.times is None or seen.nth < self.bad.times else None

    async def play(self) -> FakeServer:
        async with FakeServer(faults=self.plan, keep=100) as server:
            url = server.base_url if self.dialect == "openai" else server.anthropic_url
            async with LLMClient(
                f"{self.dialect}/m",
                base_url=url,
                max_attempts=ATTEMPTS,
                max_concurrent_requests=1,
                request_timeout=self.bad.seconds,
                clock=self.clock,
            ) as client:
                try:
                    await client.process_prompts_async(PROMPTS, show_progress=False)
                except NoRouteError as error:
                    self.stopped = error
                assert client.last_run is not None
                self.responses = list(client.last_run.responses)
        return server


ROWS: Final = [
    pytest.param(bad, dialect, id=f"{bad.name} {dialect}")
    for bad in (*BODIES, *TRANSPORT, *LIMITS)
    for dialect in bad.dialects
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("bad", "dialect"), ROWS)
def test_a_bad_reply_is_its_own_rows_business(bad: Row, dialect: Dialect) -> None:
    run = Run(bad, dialect)
    server = run_hurried(run.play(), run.clock)
    by_id = {response.index: response for response in run.responses}
    _check_good_row(by_id[0], server)
    if bad.outcome == "stops":
        assert run.stopped is not None
        assert sorted(by_id) == [0]
        assert server.counts == {"good 0": 1, "bad": 1}
        return
    assert run.stopped is None
    _check_good_row(by_id[2], server)
    if bad.outcome == "answer":
        _check_answer(by_id[1], run)
    else:
        _check_error(by_id[1], run)
    assert server.counts["bad"] == by_id[1].attempts


def _check_good_row(good: APIResponse[Any], server: FakeServer) -> None:
    assert good.completion == f"echo: good {good.index}"
    assert good.attempts == server.counts[f"good {good.index}"] == 1


def _check_answer(response: APIResponse[Any], run: Run) -> None:
    bad = run.bad
    assert response.error is None
    assert response.completion is not None
    assert {name: getattr(response, name) for name in bad.holds} == bad.holds
    assert response.attempts == 1 + (bad.times or 0)
    if bad.times:
        first, second = run.sent_at
        assert (second - first) / 1e9 >= bad.quiet


def _check_error(response: APIResponse[Any], run: Run) -> None:
    error, code = response.error, run.bad.outcome
    assert isinstance(error, ProviderError)
    assert error.code == code
    assert response.completion is None
    assert response.attempts == SENDS[code]
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    orjson.dumps(error.to_dict())


def cut(seen: RequestSeen) -> Fault:
    """The good body, cut after as many bytes as the prompt says."""
    return Body(WHOLE[seen.dialect][: int(seen.prompt)])


@pytest.mark.parametrize("dialect", BOTH)
def test_a_body_cut_at_any_byte_is_no_answer(dialect: Dialect) -> None:
    prompts = [str(size) for size in range(len(WHOLE[dialect]))]
    with FakeServer.in_thread(faults=cut) as server:
        url = server.base_url if dialect == "openai" else server.anthropic_url
        with_one_try = LLMClient(f"{dialect}/m", base_url=url, max_attempts=1)
        try:
            responses = with_one_try.process_prompts_sync(prompts, show_progress=False)
        finally:
            with_one_try.close()
        assert server.ledger.total == len(prompts)
    assert {r.error.code for r in responses.failed if r.error} == {"unreadable_reply"}
    assert len(responses.failed) == len(prompts)


def test_a_storm_of_429s_ends_each_row_with_its_error() -> None:
    async def main() -> FakeServer:
        async with FakeServer(faults=lambda _: limited(0.5)) as server:
            client = LLMClient(
                "openai/m", base_url=server.base_url, max_attempts=ATTEMPTS, clock=clock
            )
            responses = await client.process_prompts_async(PROMPTS, show_progress=False)
            await client.aclose()
        for response in responses:
            assert response.error is not None
            assert response.error.code == "rate_limited"
            assert response.attempts == SENDS["rate_limited"]
        return server

    clock = HurriedClock(50)
    assert run_hurried(main(), clock).ledger.total == len(PROMPTS) * SENDS["rate_limited"]


@pytest.mark.parametrize("dialect", BOTH)
def test_odd_answers_survive_the_journal(dialect: Dialect, tmp_path: Path) -> None:
    odd = [row.fault for row in BODIES if row.outcome == "answer" and dialect in row.dialects]
    prompts = [str(place) for place in range(len(odd))]
    with FakeServer.in_thread(faults=lambda seen: odd[int(seen.prompt)]) as server:
        url = server.base_url if dialect == "openai" else server.anthropic_url
        client = LLMClient(f"{dialect}/m", base_url=url)
        try:
            first, again = (
                client.process_prompts_sync(prompts, show_progress=False, journal=tmp_path / "j")
                for _ in range(2)
            )
        finally:
            client.close()
        assert server.ledger.total == len(prompts)
    assert len(odd) > 10
    assert {response.source for response in again} == {"journal"}
    assert [replace(r, source="provider") for r in again] == list(first)
