"""What a pack was billed is all of it on the rows, or in the summary, whoever leaves meanwhile."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from headrace import LLMClient, Model, Price, RequestContext, Usage
from headrace.core.errors import NotTakenError, RejectedError, ReplyError
from headrace.core.reply import Reply
from tests.clients import check_nothing_is_held
from tests.scenarios.test_embeddings import embedded
from tests.scenarios.texts import LATENCY, PER_TEXT, Texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.core.errors import ProviderError

PRICED = Model(id="openai/m", price=Price(input=Decimal(1), output=Decimal(0)))
NANOS = 1_000


@pytest.mark.parametrize("is_answered", [True, False])
def test_who_leaves_a_pack_that_was_sent_has_paid_for_its_share(*, is_answered: bool) -> None:
    unreadable = ReplyError("unreadable", status=200, reply=Reply(200, b"{}"), usage=Usage(7))
    there = Texts(lambda *_: None if is_answered else unreadable)

    async def slowly() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(0.002)
        yield "b"

    async def main(client: LLMClient) -> None:
        first, second = await embedded(client, slowly(), deadline=LATENCY + 0.005)
        assert first.error is not None
        assert first.error.code == "deadline"
        assert (second.error is None) == is_answered
        check_nothing_is_held(client)
        assert client.last_run is not None
        summary = client.last_run.summary
        used = PER_TEXT * 2 + 1 if is_answered else 7
        assert summary.usage.input_tokens == used
        assert summary.cost_nanos == used * NANOS

    there.play(main, PRICED, max_attempts=1)
    assert there.sends == [["a", "b"]]


def test_what_was_spent_before_a_pack_was_halved_is_not_forgotten() -> None:
    unreadable = ReplyError("unreadable", status=200, reply=Reply(200, b"{}"), usage=Usage(100))

    def rule(texts: list[str], n: int) -> ProviderError | None:
        if n == 0:
            return unreadable
        return RejectedError("input is invalid", status=400) if "poison" in texts else None

    there = Texts(rule)

    async def main(client: LLMClient) -> None:
        rows: Any = await embedded(client, ["a", "b", "c", "poison"])
        assert [r.error and r.error.code for r in rows] == [None, None, None, "rejected"]
        billed = 100 + sum(PER_TEXT * len(send) + 1 for send in (["a", "b"], ["c"]))
        assert sum(r.cost_nanos or 0 for r in rows) == billed * NANOS
        assert client.last_run is not None
        assert client.last_run.summary.cost_nanos == billed * NANOS
        # The whole pack twice, its half, and for two of them that half's half.
        assert [r.attempts for r in rows] == [3, 3, 4, 4]
        assert rows[3].error.history[0].code == "unreadable_reply"
        check_nothing_is_held(client)

    there.play(main, PRICED)
    assert there.sends[0] == there.sends[1] == ["a", "b", "c", "poison"]


def paid_once_and_then_refused(texts: list[str], n: int) -> ProviderError:
    del texts
    if n == 0:
        return ReplyError("unreadable", status=200, reply=Reply(200, b"{}"), usage=Usage(1000))
    return RejectedError("input is invalid", status=400)


# The whole pack twice, its halves, and a plain text: that is under way from 3.25 s to 4.25 s.
IN_THE_HALVES, IN_THE_PLAIN_TEXT = 2.9, 3.7


@pytest.mark.parametrize(
    ("when", "sends"), [(IN_THE_HALVES, 3 * 50), (IN_THE_PLAIN_TEXT, 3 * 50 + 1)]
)
@pytest.mark.parametrize("has_deadline", [True, False])
def test_who_leaves_while_a_fault_is_looked_for_has_paid_for_what_was_sent(
    when: float, sends: int, *, has_deadline: bool
) -> None:
    there, texts = Texts(paid_once_and_then_refused), [f"text {n}" for n in range(50)]

    async def main(client: LLMClient) -> None:
        if has_deadline:
            rows: Any = await embedded(client, texts, deadline=when)
            assert {r.error.code for r in rows} == {"deadline"}
            assert {r.attempts for r in rows} == {2 if when == IN_THE_HALVES else 3}
            assert sum(r.cost_nanos for r in rows) == 1000 * NANOS
        else:
            asking = asyncio.ensure_future(embedded(client, texts))
            await asyncio.sleep(when)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        check_nothing_is_held(client)
        assert client.last_run is not None
        summary = client.last_run.summary
        assert (summary.sends, summary.cost_nanos) == (sends, 1000 * NANOS)

    there.play(main, PRICED)
    assert [len(send) for send in there.sends] == [50, 50, 25, 25, 1][: 4 + sends % 2]


def test_a_row_that_leaves_before_its_pack_is_halved_has_paid_for_its_share() -> None:
    there = Texts(paid_once_and_then_refused)

    async def main(client: LLMClient) -> None:
        texts = [
            RequestContext(prompt=f"text {n}", deadline=1.7 if n < 3 else None) for n in range(8)
        ]
        rows: Any = await embedded(client, texts)
        assert [r.error.code for r in rows] == ["deadline"] * 3 + ["rejected"] * 5
        check_nothing_is_held(client)
        assert client.last_run is not None
        summary = client.last_run.summary
        # All eight twice, and the five that are left once more, with the plain text.
        assert (summary.sends, summary.cost_nanos) == (8 * 2 + 5 + 1, 1000 * NANOS)

    there.play(main, PRICED)
    assert [len(send) for send in there.sends] == [8, 8, 1, 4, 1]


def test_what_moves_to_another_model_in_halves_has_been_sent_as_often_as_it_was() -> None:
    refused = NotTakenError("the server answered 400: no", status=400)
    there = Texts(lambda texts, _: refused if any(t.startswith("bad") for t in texts) else None)

    async def main(client: LLMClient) -> None:
        texts = [f"{'bad' if n in {0, 5} else 'good'} {n}" for n in range(8)]
        rows = await embedded(client, texts)
        assert {r.index for r in rows.failed} == {0, 5}
        assert client.last_run is not None
        assert client.last_run.summary.sends == sum(len(send) for send in there.sends)

    there.play(main, ["openai/a", "openai/b"], model_weights=[1, 1])
    assert set(there.routes) == {"openai/a", "openai/b"}
