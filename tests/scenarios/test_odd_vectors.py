"""Vectors that are not what was asked for, and things that are nothing to embed, are told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from headrace import ConfigError, LLMClient, Rerank, Responses, Usage
from headrace.core.errors import OverloadedError
from headrace.testing import FakeServer, faults, plans
from tests.scenarios.texts import Texts

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError

pytestmark = pytest.mark.once


def rows(*vectors: object, index: int | None = None) -> bytes:
    made = [
        {"index": n if index is None else index, "embedding": each}
        for n, each in enumerate(vectors)
    ]
    return orjson.dumps({"object": "list", "data": made, "usage": {"prompt_tokens": 2}})


def ask(body: bytes, texts: list[str], **options: Any) -> Responses[Any]:
    with (
        FakeServer.in_thread(faults=plans.Sequence([faults.Body(body)])) as server,
        LLMClient("openai/m", base_url=server.base_url, max_attempts=1) as client,
    ):
        return client.embed_sync(texts, show_progress=False, **options)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (rows([1, 2], [1, 2, 3]), "of different lengths"),
        (rows([1, 2], [3, 4], index=0), "not each of one text"),
        (rows([1, 1e300], [3, 4]), "not made of numbers"),
    ],
)
def test_vectors_that_cannot_be_right_are_an_error_of_their_rows(body: bytes, says: str) -> None:
    for response in ask(body, ["a", "b"]):
        assert response.error is not None
        assert response.error.code == "unreadable_reply"
        assert says in str(response.error)
        assert response.usage == Usage(1)


def test_a_length_that_the_server_did_not_keep_is_said() -> None:
    found = ask(rows([1, 2], [3, 4]), ["a", "b"], dimensions=5)
    assert [list(response.parsed or ()) for response in found] == [[1, 2], [3, 4]]
    said = ("dimensions is not kept: the vectors have 2 numbers",)
    assert {response.adaptations for response in found} == {said}


@pytest.mark.parametrize("given", [{"input": "x"}, b"abc"])
def test_what_is_no_list_of_texts_is_refused(given: Any) -> None:  # noqa: ANN401 - wrong on purpose
    client = LLMClient("cohere/m", base_url="http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="one item or a list of them"):
        client.embed_sync(given)
    wrong: list[Any] = [given, None, 5, "abc"]
    for documents in wrong:
        with pytest.raises(ConfigError, match="must be a list of texts"):
            client.rerank_sync("q", documents)
    answer = client.ask_sync(Rerank("q", wrong[-1]))
    assert answer.error is not None
    assert "documents must be a list of texts, not str" in str(answer.error)


def test_a_text_that_the_server_fails_at_takes_no_other_with_it() -> None:
    def rule(texts: list[str], n: int) -> ProviderError | None:
        del n
        return OverloadedError("boom", status=500) if "text 321" in texts else None

    there = Texts(rule)
    texts = [f"text {n}" for n in range(500)]

    async def main(client: LLMClient) -> Responses[Any]:
        return await client.embed(texts, show_progress=False)

    responses = there.play(main)
    [failed] = responses.failed
    assert failed.error is not None
    assert (failed.id, failed.error.code) == ("321", "overloaded")
    assert Counter(there.paid) == Counter(set(texts) - {"text 321"})
    # Five times together, and then as after a refusal, with a plain text of our own.
    assert len(there.sends) <= 5 + 2 * 9 + 1
