"""Packs that are refused: for the fault of one text, of several, or for what all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace.core.errors import RejectedError
from tests.clients import check_nothing_is_held
from tests.scenarios.test_embeddings import embedded
from tests.scenarios.texts import PER_TEXT, Texts

if TYPE_CHECKING:
    from headrace import LLMClient
    from headrace.core.errors import ProviderError
    from headrace.core.response import Responses

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
