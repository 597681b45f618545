"""Texts become vectors: many in one exchange, and each is a row of its own all the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from headrace import LLMClient, Model, Price, Usage
from headrace.core.errors import (
    GoneError,
    NoRouteError,
    OverloadedError,
    RateLimitError,
    RejectedError,
    ReplyError,
    TooLongError,
)
from headrace.core.reply import Reply
from headrace.testing import vector_of
from tests.clients import check_nothing_is_held
from tests.scenarios.texts import LATENCY, PER_TEXT, Texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from headrace.core.errors import ProviderError
    from headrace.core.response import Responses
    from tests.scenarios.texts import Rule

pytestmark = pytest.mark.once


def poisoned(word: str) -> Rule:
    refused = RejectedError("the server answered 400: input is invalid", status=400)

    def rule(texts: list[str], n: int) -> ProviderError | None:
        del n
        return refused if word in texts else None

    return rule


def embedded(
    client: LLMClient, texts: object, **options: Any
) -> Coroutine[Any, Any, Responses[Any]]:
    several: Any = texts
    return client.embed(several, show_progress=False, **options)


def check_vectors(responses: Responses[Any], texts: list[str]) -> None:
    assert [list(r.parsed or ()) for r in responses] == [vector_of(text) for text in texts]
    assert [r.index for r in responses] == list(range(len(texts)))


def test_texts_go_out_together_and_each_gets_its_own() -> None:
    there, texts = Texts(), [f"text {n}" for n in range(5000)]

    async def main(client: LLMClient) -> Responses[Any]:
        found = await embedded(client, texts)
        assert client.last_run is not None
        assert client.last_run.summary.usage.input_tokens == PER_TEXT * 5000 + len(there.sends)
        check_nothing_is_held(client)
        return found

    responses = there.play(main)
    check_vectors(responses, texts)
    assert [len(send) for send in there.sends] == [2048, 2048, 904]
    assert {r.attempts for r in responses} == {1}
    assert {r.latency for r in responses} == {LATENCY}


def test_one_text_is_one_response() -> None:
    there = Texts()

    async def main(client: LLMClient) -> None:
        response = await client.embed("hello", dimensions=2, input_type="query")
        assert list(response.parsed or ()) == vector_of("hello")
        assert response.usage == Usage(PER_TEXT + 1)
        [said] = response.adaptations
        assert "input_type" in said
        failed = await client.embed("")
        assert failed.error is not None
        assert failed.error.code == "bad_row"

    there.play(main)
    assert there.sends == [["hello"]]


def test_cost_and_usage_of_a_pack_are_shared_out_without_a_rest() -> None:
    there, texts = Texts(), ["a" * n for n in range(1, 8)]
    model = Model(id="openai/m", price=Price(input=Decimal("0.013"), output=Decimal(0)))

    async def main(client: LLMClient) -> Responses[Any]:
        return await embedded(client, texts)

    rows = there.play(main, model)
    assert len(there.sends) == 1
    used = PER_TEXT * len(texts) + 1
    assert sum(r.usage.input_tokens for r in rows if r.usage) == used
    assert sum(r.cost_nanos or 0 for r in rows) == (13_000_000 * used + 500_000) // 1_000_000


def test_one_bad_text_among_500_is_one_bad_row() -> None:
    there = Texts(poisoned("text 321"))
    texts = [f"text {n}" for n in range(500)]

    async def main(client: LLMClient) -> Responses[Any]:
        found = await embedded(client, texts)
        check_nothing_is_held(client)
        return found

    responses = there.play(main)
    [failed] = responses.failed
    assert failed.id == "321"
    assert failed.error is not None
    assert failed.error.code == "rejected"
    assert Counter(there.paid) == Counter(set(texts) - {"text 321"})
    # 500 are halved until one is left: nine times, with the other half beside it.
    assert len(there.sends) <= 1 + 2 * 9


def test_what_is_no_text_never_leaves() -> None:
    there = Texts()
    texts: list[Any] = ["a", 5, "", None, "b", "\ud800"]

    async def main(client: LLMClient) -> Responses[Any]:
        return await embedded(client, texts)

    responses = there.play(main)
    assert there.sends == [["a", "b"]]
    assert [r.error.code if r.error else None for r in responses] == [
        None,
        *["bad_row"] * 3,
        None,
        "bad_row",
    ]


def test_trouble_is_the_packs_and_is_tried_again() -> None:
    def rule(texts: list[str], n: int) -> ProviderError | None:
        del texts
        return (
            [OverloadedError("busy", status=500), RateLimitError("slow", status=429, hint=5)][n]
            if n < 2
            else None
        )

    there, texts = Texts(rule), [f"{n}" for n in range(100)]

    async def main(client: LLMClient) -> Responses[Any]:
        return await embedded(client, texts)

    responses = there.play(main)
    check_vectors(responses, texts)
    assert [len(send) for send in there.sends] == [100] * 3
    assert {r.attempts for r in responses} == {3}


def test_a_reply_that_cannot_be_read_fails_all_of_its_rows_alike(tmp_path: Path) -> None:
    reply = Reply(200, b"{}")
    error = ReplyError("unreadable", status=200, reply=reply, usage=Usage(5))
    there = Texts(lambda *_: error)

    async def main(client: LLMClient) -> Responses[Any]:
        found = await embedded(client, ["a", "bb"], journal=tmp_path / "j")
        assert client.last_run is not None
        assert client.last_run.summary.usage.input_tokens == 5
        return found

    responses = there.play(main, max_attempts=2)
    assert [r.error and r.error.code for r in responses] == ["unreadable_reply"] * 2
    assert {r.attempts for r in responses} == {2}
    # The bytes are kept once.
    assert (tmp_path / "j").read_bytes().count(b'"b":"{}"') == 2


@pytest.mark.parametrize("stage", ["waiting", "sent"])
def test_who_leaves_is_not_missed(stage: str) -> None:
    there = Texts()
    moment = 0.001 if stage == "waiting" else LATENCY / 2

    async def main(client: LLMClient) -> None:
        run = asyncio.create_task(embedded(client, ["a", "b"]))
        await asyncio.sleep(moment)
        run.cancel()
        await asyncio.wait({run})
        check_nothing_is_held(client)
        assert client.last_run is not None
        assert client.last_run.summary.uncertain == (0 if stage == "waiting" else 2)

    there.play(main)
    assert len(there.sends) == (stage == "sent")
    assert not there.paid


def test_a_row_whose_time_is_up_leaves_the_others_alone(tmp_path: Path) -> None:
    there = Texts()

    async def main(client: LLMClient) -> None:
        slow = asyncio.create_task(embedded(client, ["a", "b"], deadline=LATENCY / 2))
        responses = await slow
        assert [r.error and r.error.code for r in responses] == ["deadline"] * 2
        again = await embedded(client, ["a"], deadline=LATENCY * 2, journal=tmp_path / "j")
        assert not again.failed
        check_nothing_is_held(client)

    there.play(main)


def test_limits_count_a_pack_as_one_request() -> None:
    there = Texts()
    texts = [f"text {n}" for n in range(6000)]

    async def main(client: LLMClient) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        check_vectors(await embedded(client, texts), texts)
        return loop.time() - began

    took = there.play(main, max_requests_per_minute=60)
    assert len(there.sends) == 3
    assert 2 <= took < 5


def test_packs_stay_below_a_limit_on_tokens() -> None:
    there = Texts()
    texts = ["x" * 400] * 100  # 100 tokens each, by the rule

    async def main(client: LLMClient) -> None:
        responses = await embedded(client, texts)
        assert not responses.failed

    there.play(main, max_tokens_per_minute=10_000)
    assert max(len(send) for send in there.sends) <= 10


def test_a_cache_answers_first_and_packs_hold_only_what_is_new() -> None:
    there = Texts()

    async def main(client: LLMClient) -> None:
        await embedded(client, ["a", "b", "a"])
        assert there.sends == [["a", "b"]]
        again = await embedded(client, ["a", "c", "b"])
        assert [r.source for r in again] == ["cache", "provider", "cache"]
        check_vectors(again, ["a", "c", "b"])
        shorter = await embedded(client, ["a"], dimensions=3)
        assert shorter[0].source == "provider"

    there.play(main, cache="memory")
    assert there.sends == [["a", "b"], ["c"], ["a"]]


@pytest.mark.thorough
def test_10_000_texts_with_cache_and_journal_are_never_sent_twice(tmp_path: Path) -> None:
    journal, cache = tmp_path / "run.journal", tmp_path / "cache.db"
    texts = [f"text {n}" for n in range(10_000)]
    there, seen = Texts(), list[Any]()

    async def cut(client: LLMClient) -> None:
        begun = asyncio.Event()

        def show(row: object) -> None:
            seen.append(row)
            begun.set()

        run = asyncio.create_task(embedded(client, texts, journal=journal, on_response=show))
        await begun.wait()
        run.cancel()
        await asyncio.wait({run})

    async def whole(client: LLMClient) -> Responses[Any]:
        return await embedded(client, texts, journal=journal)

    there.play(cut, threads=True, max_concurrent_requests=2, cache=cache)
    assert seen
    assert len(there.paid) < len(texts)
    responses = there.play(whole, threads=True, cache=cache)
    check_vectors(responses, texts)
    twice = [text for text, count in Counter(there.paid).items() if count > 1]
    assert not {text for text in twice if text in {texts[int(r.id)] for r in seen}}
    before = len(there.sends)
    kept: list[dict[str, Any]] = [{"journal": journal}, {}]
    for options in kept:

        async def again(client: LLMClient, options: dict[str, Any] = options) -> Responses[Any]:
            return await embedded(client, texts, **options)

        responses = there.play(again, threads=True, cache=cache)
        check_vectors(responses, texts)
    assert len(there.sends) == before


def test_weights_draw_a_model_for_each_text() -> None:
    there = Texts()
    texts = [f"text {n}" for n in range(400)]

    async def main(client: LLMClient) -> None:
        check_vectors(await embedded(client, texts), texts)

    there.play(main, ["openai/a", "openai/b"], model_weights=[1, 1])
    assert Counter(there.routes) == {"openai/a": 1, "openai/b": 1}


def test_a_dead_model_passes_its_texts_on() -> None:
    texts = [f"text {n}" for n in range(400)]
    there = Texts()
    there.rule = lambda _, n: (
        OverloadedError("down", status=500) if there.routes[n] == "openai/a" else None
    )

    async def main(client: LLMClient) -> None:
        check_vectors(await embedded(client, texts), texts)

    there.play(main, ["openai/a", "openai/b"], model_weights=[1, 1])
    assert set(there.routes[1:]) == {"openai/a", "openai/b"}


def test_one_text_that_is_too_long_moves_on_alone() -> None:
    texts = [f"text {n}" for n in range(64)]
    there = Texts()

    def rule(sent: list[str], n: int) -> ProviderError | None:
        if there.routes[n] == "openai/small" and "text 7" in sent:
            return TooLongError("maximum context length is 8", status=400)
        return None

    there.rule = rule

    async def main(client: LLMClient) -> None:
        responses = await embedded(client, texts)
        check_vectors(responses, texts)
        assert {r.id for r in responses if r.route == "openai/large"} == {"7"}

    # All are drawn for the small one.
    there.play(main, ["openai/small", "openai/large"], model_weights=[1e12, 1e-12])


def test_who_cancels_all_of_a_loop_leaves_no_row_waiting() -> None:
    there = Texts()

    async def main(client: LLMClient) -> None:
        run = asyncio.create_task(embedded(client, ["a", "b"]))
        await asyncio.sleep(LATENCY / 2)
        own = asyncio.current_task()
        [pack] = [t for t in asyncio.all_tasks() if "Packer" in repr(t) and t is not own]
        pack.cancel()
        responses = await run
        assert [r.error and r.error.code for r in responses] == ["unexpected"] * 2
        check_nothing_is_held(client)

    there.play(main)


def test_texts_may_come_from_anywhere() -> None:
    there = Texts()

    async def slowly() -> AsyncIterator[str]:
        for text in ("a", "b", "c"):
            await asyncio.sleep(1)
            yield text

    async def main(client: LLMClient) -> None:
        check_vectors(await embedded(client, slowly()), ["a", "b", "c"])
        check_vectors(await embedded(client, (t for t in "de")), ["d", "e"])

    there.play(main)
    assert there.sends == [["a"], ["b"], ["c"], ["d", "e"]]


def test_a_route_that_is_gone_stops_the_run() -> None:
    there = Texts(lambda *_: GoneError("no such key", status=401))

    async def main(client: LLMClient) -> None:
        with pytest.raises(NoRouteError):
            await embedded(client, ["a", "b"])
        response = await client.embed("a")
        assert isinstance(response.error, NoRouteError)
        check_nothing_is_held(client)

    there.play(main)
