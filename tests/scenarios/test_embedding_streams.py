"""Vectors as they come: drawn lazily, packed all the same, with rows of the caller's own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from headrace import ConfigError, Embed, LLMClient, RequestContext, SamplingParams
from headrace.client.operations import MOST_LIVE
from headrace.testing import vector_of
from tests.clients import check_nothing_is_held
from tests.scenarios.texts import NOWHERE, Texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from headrace import APIResponse

pytestmark = pytest.mark.once


def streamed(there: Texts, texts: Iterable[object], **options: Any) -> list[Any]:
    given: Any = texts

    async def main(client: LLMClient) -> list[APIResponse[Any]]:
        async with client.embed_stream(given, **options) as responses:
            found = [response async for response in responses]
        check_nothing_is_held(client)
        return found

    return there.play(main)


@pytest.mark.parametrize("ordered", [True, False])
def test_texts_go_out_together_and_come_back_one_by_one(ordered: bool) -> None:
    there, texts = Texts(), [f"text {n}" for n in range(5000)]
    responses = streamed(there, iter(texts), ordered=ordered)
    assert [len(send) for send in there.sends] == [2048, 2048, 904]
    found = {r.index: list(r.parsed) for r in responses}
    assert found == {n: vector_of(text) for n, text in enumerate(texts)}
    assert len(responses) == 5000
    if ordered:
        assert list(found) == list(range(5000))


def test_input_without_end_is_drawn_as_it_is_used_and_left_clean() -> None:
    there, drawn = Texts(), 0

    def endless() -> Iterator[str]:
        nonlocal drawn
        while True:
            drawn += 1
            yield f"text {drawn}"

    async def main(client: LLMClient) -> int:
        used = 0
        async with client.embed_stream(endless()) as responses:
            async for _ in responses:
                used += 1
                assert drawn <= used + 2 * MOST_LIVE
                if used == 30_000:
                    break
        check_nothing_is_held(client)
        return used

    assert there.play(main) == 30_000
    assert {len(send) for send in there.sends} == {2048}


def test_rows_bring_their_own_and_go_out_together_where_they_are_alike() -> None:
    rows: list[object] = [
        "a",
        Embed("b", 7),
        RequestContext(prompt="c", id="mine", tags={"lot": 1}),
        RequestContext(prompt=Embed("d", 7), id="too"),
        RequestContext(prompt="e", model="openai/other"),
        RequestContext(prompt=""),
        Embed("f", input_type="query"),
        Embed("g"),
    ]
    there = Texts()
    found = {r.id: r for r in streamed(there, rows, dimensions=3)}
    assert Counter(map(tuple, there.sends)) == Counter(
        [("a", "c", "g"), ("b", "d"), ("e",), ("f",)]
    )
    assert set(found) == {"0", "1", "mine", "too", "4", "5", "6", "7"}
    assert found["mine"].tags == {"lot": 1}
    assert found["5"].error.code == "bad_row"
    assert sum(route.startswith("openai/other") for route in there.routes) == 1


@pytest.mark.parametrize("given", [None, {"extra_body": {"both": 1}}])
def test_rows_with_equal_parameters_go_out_together(given: dict[str, Any] | None) -> None:
    rows = [
        RequestContext(prompt=f"{user}{n}", params=SamplingParams(extra_body={"user": user}))
        for n in range(10)
        for user in ("x", "y")
    ]
    there = Texts()
    responses = streamed(there, rows, sampling_params=given)
    assert len(responses) == 20
    assert sorted(len(send) for send in there.sends) == [10, 10]
    assert {len({text[0] for text in send}) for send in there.sends} == {1}


def test_a_second_stream_with_the_journal_sends_nothing(tmp_path: Path) -> None:
    there = Texts()

    async def main(client: LLMClient) -> list[str]:
        sources: list[str] = []
        for _ in range(2):
            async with client.embed_stream(["a", "b"], journal=tmp_path / "j") as responses:
                sources += [response.source async for response in responses]
        return sources

    assert there.play(main, threads=True) == ["provider"] * 2 + ["journal"] * 2
    assert len(there.sends) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dimensions": 0}, "dimensions must be a whole number above zero, not 0"),
        ({"input_type": "passage"}, "input_type must be one of query, .*, not 'passage'"),
        ({"ordered": "yes"}, "ordered must be True or False"),
        ({"model": "perplexity/m"}, "does not embed; use one of"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_drawn(
    options: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPLEXITY_API_KEY", "a-key-0123456789")
    client = LLMClient("openai/m", base_url=NOWHERE)
    with pytest.raises(ConfigError, match=says):
        client.embed_stream(["a"], **options)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Embed("a", -1), "dimensions must be a whole number above zero, not -1"),
        (Embed("a", None, "passage"), "not 'passage'"),  # type: ignore[arg-type]  # what people try
        (["a", "b"], "must be a string, not list"),
    ],
)
def test_a_row_that_cannot_be_asked_is_one_bad_row(asked: Embed, says: str) -> None:
    there = Texts()
    bad, good = streamed(there, [RequestContext(prompt=asked), "b"], ordered=True)
    assert bad.error.code == "bad_row"
    assert says in bad.error.message
    assert not good.is_error
