"""Packs that are refused: for the fault of one text, of several, or for what all of them share."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headrace.core.errors import (
    ConnectionLostError,
    OverloadedError,
    RateLimitError,
    RejectedError,
    ReplyError,
)
from headrace.core.events import AttemptFailed
from headrace.core.reply import Reply
from headrace.engine.journal import Journal
from headrace.engine.pack_fault import PLAIN, PLAIN_ID
from headrace.testing.disk import FaultyDisk
from tests.clients import check_nothing_is_held
from tests.scenarios.test_embeddings import embedded
from tests.scenarios.texts import PER_TEXT, Texts

if TYPE_CHECKING:
    from headrace import LLMClient
    from headrace.core.errors import ProviderError
    from headrace.core.events import Event
    from headrace.core.response import Responses
    from headrace.engine.journal_recovery import Recovered

pytestmark = pytest.mark.once


def test_a_mistake_that_all_texts_share_costs_four_exchanges() -> None:
    def rule(texts: list[str], n: int) -> ProviderError:
        sentence = f"the server answered 400: dimensions 7 of {len(texts)} inputs (request r-{n})"
        return RejectedError(sentence, status=400)

    there, texts = Texts(rule), [f"text {n}" for n in range(500)]

    async def main(client: LLMClient) -> Responses[Any]:
        found = await embedded(client, texts, dimensions=7)
        check_nothing_is_held(client)
        return found

    responses = there.play(main)
    assert [r.error.code if r.error else None for r in responses] == ["rejected"] * 500
    assert [len(send) for send in there.sends] == [500, 250, 250, 1]


@pytest.mark.parametrize("bad", [{1, 3}, {0, 499}, {3, 7, 260, 261}, set(range(0, 500, 2))])
def test_bad_texts_in_both_halves_take_no_good_one_with_them(bad: set[int]) -> None:
    refused = RejectedError("the server answered 400: input is invalid", status=400)
    texts = [f"{'bad' if n in bad else 'good'} {n}" for n in range(500)]

    def rule(asked: list[str], n: int) -> ProviderError | None:
        del n
        return refused if any(text.startswith("bad") for text in asked) else None

    there = Texts(rule)
    spent = 0

    async def main(client: LLMClient) -> Responses[Any]:
        nonlocal spent
        found = await embedded(client, texts)
        assert client.last_run is not None
        spent = client.last_run.summary.usage.input_tokens
        check_nothing_is_held(client)
        return found

    responses = there.play(main)
    assert {r.index for r in responses.failed} == bad
    paid = [send for send in there.sends if not any(text.startswith("bad") for text in send)]
    # What was asked to find out whose fault it is is on the bill, and asked once at most.
    assert spent == sum(PER_TEXT * len(send) + 1 for send in paid)
    assert len(there.paid) <= 500 - len(bad) + 1


def test_halves_that_are_refused_for_different_reasons_share_none() -> None:
    def rule(texts: list[str], n: int) -> ProviderError | None:
        del n
        for word in ("early", "late"):
            if word in texts:
                return RejectedError(f"the server answered 400: {word} is refused", status=400)
        return None

    there = Texts(rule)
    texts = ["early", *[f"text {n}" for n in range(30)], "late"]

    async def main(client: LLMClient) -> Responses[Any]:
        return await embedded(client, texts)

    responses = there.play(main)
    assert {r.index for r in responses.failed} == {0, 31}
    assert len(there.paid) == 30


BAD = RejectedError("the server answered 400: input is invalid", status=400)
UNREADABLE = ReplyError("unreadable", status=200, reply=Reply(200, b"{}"))


@pytest.mark.parametrize(
    "trouble",
    [
        OverloadedError("the server answered 503: busy", status=503),
        RateLimitError("the server answered 429: slow down", status=429, hint=1.0),
        ConnectionLostError("the connection was closed"),
        UNREADABLE,
        RejectedError("the server answered 400: in other words", status=400),
    ],
)
def test_trouble_with_the_plain_text_does_not_hold_up_the_search(trouble: ProviderError) -> None:
    texts = ["bad 0", *(f"good {n}" for n in range(1, 7)), "bad 7"]

    def rule(asked: list[str], n: int) -> ProviderError | None:
        del n
        if asked == [PLAIN]:
            return trouble
        return BAD if any(text.startswith("bad") for text in asked) else None

    there = Texts(rule)
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, AttemptFailed) and event.error is trouble:
            told.append(event.id)

    async def main(client: LLMClient) -> Responses[Any]:
        client.add_listener(listen)
        found = await embedded(client, texts)
        check_nothing_is_held(client)
        assert client.last_run is not None
        # Five exchanges of a second each, one after another, and what a server asks to wait.
        assert client.last_run.summary.elapsed < 5.1 + (trouble.hint or 0)
        return found

    responses = there.play(main)
    assert {r.index for r in responses.failed} == {0, 7}
    assert [len(send) for send in there.sends] == [8, 4, 4, 1, 2, 2, 2, 2, 1, 1, 1, 1]
    assert told == [PLAIN_ID]


def test_a_plain_text_is_asked_once_for_a_pack_whose_halves_are_refused_differently() -> None:
    def rule(asked: list[str], n: int) -> ProviderError | None:
        del n
        word = asked[0].partition(" ")[0]
        return RejectedError(f"the server answered 400: {word} is refused", status=400)

    there = Texts(lambda asked, n: None if asked == [PLAIN] else rule(asked, n))
    texts = [f"{'early' if n < 8 else 'late'} {n}" for n in range(16)]

    async def main(client: LLMClient) -> Responses[Any]:
        return await embedded(client, texts)

    assert len(there.play(main).failed) == 16
    assert there.sends.count([PLAIN]) == 1


@pytest.mark.parametrize(("outcome", "unreadable"), [(BAD, 0), (None, 0), (UNREADABLE, 1)])
def test_a_plain_text_that_a_crash_cuts_off_was_in_flight(
    outcome: ProviderError | None, unreadable: int
) -> None:
    disk, path = FaultyDisk(), Path("run.journal")
    in_flight = []

    def journal_of(disk: FaultyDisk) -> Recovered:
        with closing(Journal.open(path, disk=disk)) as journal:
            return journal.recovered

    def rule(asked: list[str], n: int) -> ProviderError | None:
        del n
        if asked != [PLAIN]:
            return BAD
        in_flight.append(journal_of(disk.crash(power=False)).in_flight)
        return outcome

    async def main(client: LLMClient) -> None:
        await embedded(client, [f"bad {n}" for n in range(8)], journal=path)

    Texts(rule).play(main, disk=disk, threads=True)
    after = journal_of(disk)
    assert in_flight == [1]
    assert (after.answered, after.failed, after.in_flight) == (0, 8, 0)
    assert after.unreadable == unreadable
