"""Bedrock's binary streams through a whole client, against a server on loopback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headrace import LLMClient
from headrace.core.chunks import EndChunk, TextChunk, UsageChunk
from headrace.core.errors import HeadraceError, ProviderError
from headrace.testing import FakeServer, faults, plans, stream_faults

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk
    from headrace.testing.faults import Fault

KEY = "bedrock-api-key-0123456789"
MODELS = [
    "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock-anthropic/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
]


async def stream(model: str, *met: Fault) -> tuple[list[Chunk], FakeServer]:
    async with FakeServer(faults=plans.Sequence(met)) as server:
        there = LLMClient(model, base_url=server.base_url, api_key=KEY, max_attempts=1)
        async with there as client:
            return [chunk async for chunk in client.stream_tokens("one two")], server


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", [None, stream_faults.Shredded(1), stream_faults.Shredded(7)])
def test_an_answer_comes_word_by_word_and_whole(model: str, fault: Fault | None) -> None:
    chunks, server = asyncio.run(stream(model, *([fault] if fault else [])))
    texts = [chunk.text for chunk in chunks if isinstance(chunk, TextChunk)]
    assert texts == ["echo: ", "one ", "two"]
    assert [type(chunk) for chunk in chunks[-2:]] == [UsageChunk, EndChunk]
    assert isinstance(end := chunks[-1], EndChunk)
    assert end.response.completion == "echo: one two"
    assert end.response.finish_reason == "stop"
    assert end.response.usage is not None
    assert end.response.usage.output_tokens == 3
    assert end.response.request_id is not None
    [seen] = server.received
    assert (seen.model, seen.key, seen.stream) == (model.partition("/")[2], KEY, True)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (stream_faults.Cut(2), "truncated"),
        (stream_faults.ErrorFrame(2), "overloaded"),
        (stream_faults.Drop(2), "outcome_unknown"),
    ],
    ids=["cut", "exception", "dropped"],
)
def test_a_stream_that_breaks_is_an_error_with_what_had_come(
    model: str, fault: Fault, code: str
) -> None:
    with pytest.raises(HeadraceError) as caught:
        asyncio.run(stream(model, fault))
    assert caught.value.code == code


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [True, False])
def test_an_exception_is_told_by_the_name_in_its_header(model: str, *, streamed: bool) -> None:
    """424 alone would be a request that is wrong; the model's own failure can be tried again."""

    async def ask() -> HeadraceError | None:
        async with FakeServer(faults=plans.Sequence([faults.Status(424)])) as server:
            there = LLMClient(model, base_url=server.base_url, api_key=KEY, max_attempts=1)
            async with there as client:
                return (await client.ask("one two")).error

    if streamed:
        with pytest.raises(HeadraceError) as caught:
            asyncio.run(stream(model, faults.Status(424)))
        error: HeadraceError | None = caught.value
    else:
        error = asyncio.run(ask())
    assert isinstance(error, ProviderError)
    assert error.code == "overloaded"
    assert error.details is not None
    assert error.details["type"] == "ModelErrorException"
