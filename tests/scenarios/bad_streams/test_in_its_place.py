"""What comes where a stream was asked for: a whole answer, an error, a page, a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pytest

from headrace.core.chunks import EndChunk, TextChunk, UsageChunk
from headrace.testing import faults
from headrace.testing.faults import CHUNKED, Body, Fault, chunk
from headrace.testing.seen import Answer
from headrace.testing.server import dialects
from tests.scenarios.bad_streams.meeting import (
    ATTEMPTS,
    PROMPT,
    SAID,
    check_answer,
    check_raised,
    each_dialect,
    meet,
)

if TYPE_CHECKING:
    from headrace.testing.server.connection import Turn

pytestmark = [pytest.mark.once, pytest.mark.timeout(30)]
PAGE = b"<!doctype html><html><head><title>502 Bad Gateway</title></head></html>"


@dataclass(frozen=True, slots=True)
class AsOne(Fault):
    """The answer that comes without streaming, in blocks, as some servers write it."""

    pretty: bool = False
    lead: bytes = b""
    cut: int = 0
    content_type: str = "application/json"

    async def play(self, turn: Turn) -> None:
        """Pass over what was asked for."""
        api = dialects.of_path(turn.seen.path)
        assert api is not None
        asked = dialects.Asked("m", PROMPT, 2, None)
        whole = api.answer(asked, dialects.say(SAID, None), 1)
        body = self.lead + orjson.dumps(whole, option=orjson.OPT_INDENT_2 * self.pretty)
        body = body[: len(body) - self.cut]
        turn.start(Answer(200, b"", content_type=self.content_type), CHUNKED)
        for at in range(0, len(body), 40):
            await turn.write(chunk(body[at : at + 40]))
        await turn.write(chunk(b""))


@each_dialect
@pytest.mark.parametrize(
    "fault",
    [
        AsOne(),
        AsOne(lead=b"\n\n  \r\n"),
        AsOne(lead=b"\xef\xbb\xbf"),
        AsOne(content_type="text/event-stream"),
    ],
    ids=["plain", "after blank lines", "after a byte order mark", "called a stream"],
)
def test_a_server_that_does_not_stream_is_read_all_the_same(dialect: str, fault: Fault) -> None:
    met = meet(dialect, [fault])
    check_answer(met)
    assert [type(found) for found in met.chunks] == [TextChunk, UsageChunk, EndChunk]


@each_dialect
def test_so_is_one_that_writes_for_people(dialect: str) -> None:
    if dialect == "ollama-native":  # lines are what its streams are made of
        check_raised(
            meet(dialect, [AsOne(pretty=True)]), "unreadable_reply", sends=ATTEMPTS, arrived=None
        )
    else:
        check_answer(meet(dialect, [AsOne(pretty=True)]))


@each_dialect
def test_a_whole_answer_that_is_cut_is_none(dialect: str) -> None:
    met = meet(dialect, [AsOne(cut=1)])
    assert met.error is not None
    assert met.error.code in {"truncated", "unreadable_reply"}
    assert met.chunks == []


def said(kind: str) -> Body:
    body = {"type": "error", "error": {"type": kind, "message": "no"}}
    return Body(orjson.dumps(body))


@each_dialect
@pytest.mark.parametrize(
    ("fault", "code", "sends"),
    [
        (said("overloaded_error"), "overloaded", ATTEMPTS),
        (said("invalid_request_error"), "rejected", 1),
        (said("authentication_error"), "no_route", 1),
        (said("odd_error"), "unreadable_reply", ATTEMPTS),
        (Body(b'{"error":{"message":"You exceeded","code":"insufficient_quota"}}'), "no_route", 1),
        (Body(PAGE, "text/html"), "page", ATTEMPTS),
        (Body(PAGE, "text/event-stream"), "page", ATTEMPTS),
        (Body(b""), "truncated", ATTEMPTS),
        (faults.Status(400), "rejected", 1),
        (faults.Status(401), "no_route", 1),
        (faults.Status(404), "no_route", 1),
        (faults.Status(503), "overloaded", ATTEMPTS),
        (faults.Status(502, PAGE), "overloaded", ATTEMPTS),
        (faults.Redirect("http://127.0.0.1:9/elsewhere"), "no_route", 1),
        (faults.DropBefore(), "no_route", 5),
        (faults.Stall(), "outcome_unknown", ATTEMPTS),
    ],
    ids=[
        "overloaded with 200",
        "bad request with 200",
        "wrong key with 200",
        "unknown error with 200",
        "quota with 200",
        "page",
        "page called a stream",
        "empty",
        "400",
        "401",
        "404",
        "503",
        "502 page",
        "redirect",
        "dropped",
        "no answer",
    ],
)
def test_what_is_no_stream_is_what_it_says(
    dialect: str, fault: Fault, code: str, sends: int
) -> None:
    check_raised(meet(dialect, [fault]), code, sends=sends, arrived=None)


@each_dialect
def test_a_hint_is_waited_for_and_costs_no_attempt(dialect: str) -> None:
    met = meet(dialect, [faults.limited(7.5), faults.limited(2), None], max_attempts=1)
    check_answer(met, sends=3)
    first, second, third = met.sent_at
    assert second - first >= 7.5
    assert third - second >= 2


@each_dialect
def test_a_key_in_an_error_is_not_shown(dialect: str) -> None:
    """Some servers say the key that they do not know; ``meet`` looks for it."""
    told = b'{"error":{"type":"odd","message":"no such key: sk-never-to-be-shown-0123456789"}}'
    assert meet(dialect, [Body(told)]).error is not None
    assert meet(dialect, [faults.Status(400, told)]).error is not None
