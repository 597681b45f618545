"""What a pack was billed is all of it on the rows, or in the summary, whoever leaves meanwhile."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from headrace import LLMClient, Model, Price, Usage
from headrace.core.errors import RejectedError, ReplyError
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
