"""Streams keep what requests are bound to: limits, deadlines, weights, events."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from headrace import LLMClient, SamplingParams, Usage
from headrace.core.chunks import EndChunk, RestartChunk, TextChunk
from headrace.core.errors import (
    DeadlineError,
    GoneError,
    OverloadedError,
    ProviderError,
    RunStoppedError,
    TruncatedError,
    UnexpectedError,
)
from headrace.core.events import AttemptFailed, RequestFinished
from headrace.providers.base import ProviderRequest
from headrace.providers.catalog import Catalog
from headrace.testing import Answer, Failure, Script, run_virtual
from tests.clients import NOWHERE, check_nothing_is_held, lanes, made, virtual
from tests.scenarios.test_token_streams import end, read, text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headrace import APIResponse
    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.events import Event
    from headrace.core.model import Route

CUT = TruncatedError("the stream ended too soon")


def first_fails(error: ProviderError, said: str = "") -> Script:
    """The route that is asked first fails for ever; others answer."""
    first: list[str] = []

    def rule(context: RequestContext, route: Route, n: int) -> Failure | str:
        del context, n
        first.append(route.id)
        return Failure(error, said=said) if route.id == first[0] else "yes"

    return Script(rule)


def test_a_stream_cut_by_its_deadline_was_sent_all_the_same() -> None:
    script = Script([Answer("a b c d e f", 6.0), "next"])
    told: list[Event] = []

    async def main(client: LLMClient) -> float:
        client.add_listener(told.append)
        with pytest.raises(DeadlineError) as caught:
            await read(client, "hi", deadline=2.5)
        assert caught.value.attempt == 1
        [late] = caught.value.history
        assert isinstance(late, ProviderError)
        assert late.arrived == caught.value.arrived == "a b "
        check_nothing_is_held(client)
        # It has used up the only request of this minute.
        before = asyncio.get_running_loop().time()
        await read(client)
        return asyncio.get_running_loop().time() - before

    assert virtual(script, main, max_requests_per_minute=1) > 50
    [failed] = [e.response for e in told if isinstance(e, RequestFinished) if e.response.is_error]
    assert (failed.attempts, failed.uncertain_attempts) == (1, 1)


@pytest.mark.parametrize(("words", "latency"), [("a b", 28.0), ("a", 20.0)])
def test_the_deadline_holds_while_nothing_comes(words: str, latency: float) -> None:
    async def main(client: LLMClient) -> float:
        before = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineError):
            await read(client, "hi", deadline=15.0)
        check_nothing_is_held(client)
        return asyncio.get_running_loop().time() - before

    script = Script([Answer(words, latency)])
    assert virtual(script, main) == pytest.approx(15.0)
    assert script.in_flight == 0


def test_a_slow_consumer_is_cut_at_the_next_chunk_only() -> None:
    async def main(client: LLMClient) -> list[Chunk]:
        found = []

        async def listen() -> None:
            async for chunk in client.stream_tokens("hi", deadline=5.0):
                found.append(chunk)
                await asyncio.sleep(10)

        with pytest.raises(DeadlineError):
            await listen()
        return found

    assert virtual(Script([Answer("a b c", 3.0)]), main) == [TextChunk("a ")]


@pytest.mark.parametrize(
    "error", [OverloadedError("down", status=500), GoneError("no such model", status=404)]
)
def test_a_stream_of_a_dead_model_moves_on_to_another(error: ProviderError) -> None:
    script = first_fails(error)

    async def main(client: LLMClient) -> list[Chunk]:
        return await read(client)

    chunks = virtual(script, main, models=["openai/a", "openai/b"], model_weights=[1, 1])
    assert text(chunks) == "yes"
    assert end(chunks).attempts == 2
    assert len({call.route for call in script.calls}) == 2


def test_a_stream_that_breaks_off_begins_again_at_another_model() -> None:
    script = first_fails(CUT, said="one two")

    async def main(client: LLMClient) -> list[Chunk]:
        chunks = await read(client, on_break="restart")
        check_nothing_is_held(client)
        return chunks

    chunks = virtual(script, main, models=["openai/a", "openai/b"], model_weights=[1, 1])
    [at] = [i for i, chunk in enumerate(chunks) if isinstance(chunk, RestartChunk)]
    assert (text(chunks[:at]), text(chunks[at:])) == ("one two", "yes")
    assert isinstance(chunks[-1], EndChunk)
    assert len(script.calls) == 2


def test_a_stream_whose_models_all_fail_ends_with_the_last_error() -> None:
    script = Script(lambda *_: OverloadedError("down", status=500))

    async def main(client: LLMClient) -> None:
        with pytest.raises(OverloadedError) as caught:
            await read(client)
        assert len(caught.value.history) == 3
        check_nothing_is_held(client)

    weighted = {"models": ["openai/a", "openai/b"], "model_weights": [1, 1]}
    virtual(script, main, max_attempts=4, **weighted)
    assert len(script.calls) == 4


def test_a_break_that_is_final_is_told() -> None:
    told: list[Event] = []

    async def main(client: LLMClient) -> None:
        client.add_listener(told.append)
        with pytest.raises(TruncatedError):
            await read(client)

    virtual(Script([Failure(CUT, said="one two")]), main)
    [failed] = [event for event in told if isinstance(event, AttemptFailed)]
    assert (failed.error.code, failed.wait) == ("truncated", None)
    assert isinstance(told[-1], RequestFinished)


def test_a_stream_left_early_gives_its_slot_to_who_waits_for_it_at_once() -> None:
    script = Script([Answer("a b", 2.0), "next"])

    began: list[str] = []

    async def main(client: LLMClient) -> None:
        async with aclosing(client.stream_tokens("hi")) as chunks:
            await anext(chunks)
            waiting = asyncio.create_task(read(client))
            await asyncio.sleep(0)
            assert lanes(client)[0].waiting == 1
            threading.setprofile(lambda *_: began.append(threading.current_thread().name))
        threading.setprofile(None)
        # By no other thread, which would do so some time later.
        assert (lanes(client)[0].own.in_flight, lanes(client)[0].waiting) == (1, 0)
        assert text(await waiting) == "next"

    virtual(script, main, max_concurrent_requests=1)
    assert not began


def test_a_client_that_is_closed_meanwhile_ends_no_stream_in_silence() -> None:
    with made(Script(["a b c"])) as client:
        chunks = client.stream_tokens_sync("hi")
        assert next(chunks) == TextChunk("a ")
        client.close()
        with pytest.raises(RunStoppedError, match="not whole; ask again"):
            next(chunks)
        check_nothing_is_held(client)
        assert end(list(client.stream_tokens_sync("again"))).completion == "echo: again"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyError("bug")])
def test_what_nobody_foresaw_is_an_error_that_is_told(error: BaseException) -> None:
    told: list[Event] = []

    class Request(ProviderRequest):
        __slots__ = ()

        async def execute_once(self) -> APIResponse[object]:
            raise NotImplementedError

        async def stream_once(self) -> AsyncGenerator[Chunk]:
            yield TextChunk("a")
            raise error

    async def main() -> None:
        catalog = Catalog({"openai_chat": Request})
        async with LLMClient("openai/m", base_url=NOWHERE, catalog=catalog) as client:
            client.add_listener(told.append)
            with pytest.raises(UnexpectedError):
                await read(client)
            check_nothing_is_held(client)

    run_virtual(main)
    [finished] = [event for event in told if isinstance(event, RequestFinished)]
    assert isinstance(finished.response.error, UnexpectedError)


def test_a_stream_that_breaks_off_gives_no_tokens_back() -> None:
    cut = TruncatedError("the stream ended too soon", usage=Usage(10, 1))
    script = Script(lambda *_: Failure(cut, 0.1, said="one"))

    async def main(client: LLMClient) -> float:
        before = asyncio.get_running_loop().time()
        for _ in range(3):
            with pytest.raises(TruncatedError):
                await read(client, "hi", sampling_params=SamplingParams(max_tokens=450))
        return asyncio.get_running_loop().time() - before

    # Nobody knows how much of the 450 was written: two of them are what fits into a minute.
    assert virtual(script, main, max_tokens_per_minute=1000) > 50
