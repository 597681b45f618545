"""Answers that come in chunks: whole, broken off, begun again, left early."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import pytest

from headrace import APIResponse, LLMClient, Model, Price
from headrace.core.chunks import Chunk, EndChunk, RestartChunk, TextChunk, UsageChunk
from headrace.core.errors import (
    BadRowError,
    ConfigError,
    DeadlineError,
    HeadraceError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    RejectedError,
    TruncatedError,
)
from headrace.core.events import RequestFinished
from headrace.core.response import Usage
from headrace.testing import Answer, Failure, Script
from tests.clients import check_nothing_is_held, made, virtual

if TYPE_CHECKING:
    from headrace.core.events import Event

PRICED = Model(id="openai/m", price=Price(input=1, output=1))  # type: ignore[arg-type]  # whole numbers are prices
CUT = TruncatedError("the stream ended too soon")


async def read(client: LLMClient, prompt: object = "one two three", **options: Any) -> list[Chunk]:
    asked = cast("str", prompt)
    return [chunk async for chunk in client.stream_tokens(asked, **options)]


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))


def end(chunks: list[Chunk]) -> APIResponse[Any]:
    last = chunks[-1]
    assert isinstance(last, EndChunk)
    return last.response


def test_an_answer_comes_word_by_word_and_whole_at_the_end() -> None:
    script = Script([Answer("a b c", 3.0)])
    at: list[float] = []

    async def main(client: LLMClient) -> list[Chunk]:
        loop, found = asyncio.get_running_loop(), []
        start = loop.time()
        async for chunk in client.stream_tokens("hi"):
            found.append(chunk)
            at.append(loop.time() - start)
        check_nothing_is_held(client)
        return found

    chunks = virtual(script, main, models=PRICED)
    assert [c.text for c in chunks if isinstance(c, TextChunk)] == ["a ", "b ", "c"]
    assert at[:3] == pytest.approx([1.0, 2.0, 3.0])
    response = end(chunks)
    assert (response.completion, response.attempts, response.route) == ("a b c", 1, "openai/m")
    assert response.usage == Usage(1, 3)
    assert response.cost_nanos == 4_000
    assert UsageChunk(Usage(1, 3)) in chunks


def test_a_failure_before_the_first_chunk_is_retried_like_any_other() -> None:
    script = Script([OverloadedError("busy", status=503), RateLimitError("slow", hint=2.0), "yes"])
    chunks = virtual(script, read)
    assert text(chunks) == "yes"
    assert end(chunks).attempts == 3
    assert not any(isinstance(chunk, RestartChunk) for chunk in chunks)


def test_a_break_after_the_first_chunk_is_raised_with_what_had_come() -> None:
    script = Script([Failure(CUT, 1.0, said="one two"), "never"])

    async def main(client: LLMClient) -> tuple[str, TruncatedError]:
        said: list[str] = []

        async def listen() -> None:
            async for chunk in client.stream_tokens("hi"):
                said.append(text([chunk]))  # noqa: PERF401  what came before the error counts

        with pytest.raises(TruncatedError) as caught:
            await listen()
        check_nothing_is_held(client)
        return "".join(said), caught.value

    said, error = virtual(script, main)
    assert (said, error.arrived) == ("one two", "one two")
    assert (error.route, error.attempt) == ("openai/m", 1)
    assert len(script.calls) == 1


def test_a_stream_begins_again_where_that_is_wanted_and_both_sends_are_paid() -> None:
    broken = TruncatedError("the stream ended too soon", usage=Usage(10, 2))
    script = Script([Failure(broken, 1.0, said="one two"), "a b c"])

    async def main(client: LLMClient) -> list[Chunk]:
        return await read(client, "hi", on_break="restart")

    chunks = virtual(script, main, models=PRICED)
    at = next(i for i, chunk in enumerate(chunks) if isinstance(chunk, RestartChunk))
    assert text(chunks[:at]) == "one two"
    assert text(chunks[at:]) == "a b c"
    response = end(chunks)
    assert (response.attempts, response.uncertain_attempts) == (2, 1)
    assert response.cost_nanos == 12_000 + 4_000
    assert response.usage == Usage(1, 3)


def test_a_stream_begins_again_on_another_route() -> None:
    script = Script([Failure(CUT, said="one"), "yes"])

    async def main(client: LLMClient) -> list[Chunk]:
        return await read(client, "hi", on_break="restart")

    virtual(script, main, models=["openai/a", "openai/b"])
    assert {call.route for call in script.calls} == {"openai/a", "openai/b"}


def test_it_begins_again_only_so_often() -> None:
    script = Script(lambda *_: Failure(CUT, said="one"))

    async def main(client: LLMClient) -> None:
        with pytest.raises(TruncatedError) as caught:
            await read(client, "hi", on_break="restart")
        assert len(caught.value.history) == 2
        check_nothing_is_held(client)

    virtual(script, main, max_attempts=3)
    assert len(script.calls) == 3


def test_who_leaves_early_stops_the_stream_and_holds_nothing() -> None:
    script = Script([Answer("a b c d", 4.0), "next"])

    async def main(client: LLMClient) -> None:
        async with aclosing(client.stream_tokens("hi")) as chunks:
            async for _ in chunks:
                break
        assert script.in_flight == 0
        check_nothing_is_held(client)
        assert text(await read(client)) == "next"

    virtual(script, main)


def test_a_cancelled_reader_holds_nothing() -> None:
    script = Script(latency=100.0)

    async def main(client: LLMClient) -> None:
        reading = asyncio.create_task(read(client))
        await asyncio.sleep(1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert script.in_flight == 0
        check_nothing_is_held(client)

    virtual(script, main)


def test_streams_keep_the_limits() -> None:
    script = Script(latency=1.0)

    async def main(client: LLMClient) -> list[list[Chunk]]:
        return await asyncio.gather(*(read(client, f"p{n}") for n in range(6)))

    found = virtual(script, main, max_concurrent_requests=2)
    assert script.in_flight_peak == 2
    assert {text(chunks) for chunks in found} == {f"echo: p{n}" for n in range(6)}


@pytest.mark.parametrize(
    ("prompt", "outcome", "kind"),
    [
        ("", "x", BadRowError),
        ([{"role": "bot", "content": "hi"}], "x", BadRowError),
        ("hi", RejectedError("no", status=400), RejectedError),
    ],
)
def test_what_ends_it_is_raised_and_told(
    prompt: object, outcome: str | ProviderError, kind: type[HeadraceError]
) -> None:
    told: list[Event] = []

    async def main(client: LLMClient) -> None:
        client.add_listener(told.append)
        with pytest.raises(kind):
            await read(client, prompt)

    virtual(Script([outcome]), main)
    finished = [event for event in told if isinstance(event, RequestFinished)]
    assert [event.response.is_error for event in finished] == [True]


def test_the_deadline_holds_while_chunks_come() -> None:
    async def main(client: LLMClient) -> None:
        with pytest.raises(DeadlineError):
            await read(client, "hi", deadline=2.5)
        check_nothing_is_held(client)

    virtual(Script([Answer("a b c d e f", 6.0)]), main)


def test_a_cached_answer_comes_in_one_piece_and_a_streamed_one_is_kept() -> None:
    script = Script(["a b"])

    async def main(client: LLMClient) -> None:
        first, second = await read(client), await read(client)
        assert (end(first).source, end(second).source) == ("provider", "cache")
        assert [c.text for c in second if isinstance(c, TextChunk)] == ["a b"]
        assert (await client.ask("one two three")).source == "cache"

    virtual(script, main, cache="memory")
    assert len(script.calls) == 1


def test_scripts_read_a_stream_as_a_plain_iterator() -> None:
    script = Script(["a b c", "d e f"])
    with made(script) as client:
        assert text(list(client.stream_tokens_sync("hi"))) == "a b c"
        for chunk in client.stream_tokens_sync("hi"):
            assert chunk == TextChunk("d ")
            break
        assert client.ask_sync("still here").completion == "echo: still here"
    assert script.in_flight == 0


def test_a_wrong_option_is_refused_before_anything_is_sent() -> None:
    client = made(Script())
    wrong: Any = "again"
    with pytest.raises(ConfigError, match='on_break must be "error" or "restart"'):
        client.stream_tokens("hi", on_break=wrong)
    misspelt: Any = {"on_brake": "error"}
    with pytest.raises(TypeError, match="did you mean on_break"):
        client.stream_tokens("hi", **misspelt)
