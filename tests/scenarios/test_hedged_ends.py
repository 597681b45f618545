"""Two copies of one request: closed with their loop, before real sockets, and deaf ones."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any, Final

import pytest

from headrace import APIResponse, LLMClient, Responses
from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine.journal import Journal
from headrace.providers.catalog import Catalog
from headrace.testing import (
    FakeServer,
    HurriedClock,
    Script,
    VirtualClock,
    faults,
    plans,
    run_hurried,
    run_virtual,
)
from headrace.testing.disk import FaultyDisk
from headrace.testing.provider import ScriptedRequest, prompt_of
from tests.clients import NOWHERE, check_nothing_is_held, lanes, made, quiet, virtual

pytestmark = pytest.mark.once

JOURNAL: Final = Path("run.journal")
PROMPTS: Final = [f"p{n}" for n in range(1_000)]


async def one_by_one(client: LLMClient, prompts: list[str]) -> None:
    """So that none is slow for the others, and what a copy may cost is saved up."""
    for prompt in prompts:
        await client.ask(prompt)


def test_a_loop_closed_over_both_copies_takes_no_slot_from_the_next() -> None:
    script = Script(lambda context, _r, _n: 3_600.0 if prompt_of(context) == "slow" else 0.0)
    client = made(script, max_concurrent_requests=2, hedge={"share": 1})
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncio complains, and is right
    loop.run_until_complete(one_by_one(client, PROMPTS[:100]))
    kept = loop.create_task(client.ask("slow"))
    while script.in_flight < 2:
        loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()

    async def main() -> list[str | None]:
        async with client, asyncio.timeout(30):
            return [row.completion for row in await quiet(client, ["a", "b", "c"])]

    assert asyncio.run(main()) == ["echo: a", "echo: b", "echo: c"]
    del kept
    gc.collect()
    assert [state.own.in_flight for state in lanes(client)] == [0]


def test_both_copies_are_closed_while_the_own_thread_decides() -> None:
    """By the garbage collector, in a thread that holds what nobody may wait for there."""
    script = Script(lambda context, _r, _n: 3_600.0 if prompt_of(context) == "slow" else 0.0)
    client = made(script, hedge={"share": 1})
    gc.collect()
    gc.disable()
    try:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # asyncio complains, and is right
        loop.run_until_complete(one_by_one(client, PROMPTS[:100]))
        asks = [loop.create_task(client.ask("slow"))]
        while script.in_flight < 2:
            loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        asks.clear()
        del loop

        def decide() -> None:
            with client._sender.admission.lock:  # noqa: SLF001  the moment cannot be met from outside
                gc.collect()

        thread = threading.Thread(target=decide, daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    finally:
        gc.enable()


class Deaf(ScriptedRequest):
    """Answers though it is cancelled."""

    __slots__ = ()
    script = Script(lambda context, _r, n: 1.0 if prompt_of(context) != "slow" else 5.0 * (n % 2))

    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except asyncio.CancelledError:
            return self.decode(self.context, self.route, Reply(200, b'{"text": "deaf"}'))


def test_a_copy_that_comes_in_after_it_was_given_up_is_not_recorded() -> None:
    clock, disk = VirtualClock(), FaultyDisk()
    catalog = Catalog({"openai_chat": Deaf})
    client = LLMClient(
        "openai/m",
        base_url=NOWHERE,
        clock=clock,
        catalog=catalog,
        disk=disk,
        hedge=True,
        chance=lambda: 0.5,
    )

    async def main() -> APIResponse[Any]:
        async with client:
            # An odd number of sends: the next one is slow, and that after it is not.
            rows: Responses[Any] = await quiet(client, [*PROMPTS[:401], "slow"], journal=JOURNAL)
            check_nothing_is_held(client)
            return rows[-1]

    row = run_virtual(main, clock=clock)
    assert (row.completion, row.attempts, row.uncertain_attempts) == ("echo: slow", 2, 1)
    assert disk.content(JOURNAL).count(b'{"t":"a"') == 402


def test_an_answer_of_the_second_copy_that_cannot_be_recorded_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = Script(lambda _c, _r, n: 1.0 if n < 400 else 300.0 * (n == 400) or 5.0)
    record = Journal.answer

    def closed(journal: Journal, *given: Any) -> object:
        if len(script.calls) == 402:
            journal.close()
        return record(journal, *given)

    monkeypatch.setattr(Journal, "answer", closed)

    async def main(client: LLMClient) -> None:
        with pytest.raises(JournalError):
            await quiet(client, [*PROMPTS[:400], "slow"], journal=JOURNAL)
        check_nothing_is_held(client)
        found = client.statistics()
        assert (found.hedged, found.abandoned) == (1, 1)

    virtual(script, main, hedge=True, disk=FaultyDisk())
    assert len(script.calls) == 402


def test_vectors_are_asked_for_twice_like_anything_else() -> None:
    clock = HurriedClock(20)

    async def main() -> tuple[float, Responses[Any]]:
        slow = plans.Sequence([*[faults.Latency(0.5)] * 100, faults.Latency(600.0)])
        async with FakeServer(faults=slow) as server:
            client = LLMClient("openai/m", base_url=server.base_url, clock=clock, hedge=True)
            async with client:
                for n in range(100):
                    await client.embed([f"text {n}"])
                began = clock.now()
                rows = await client.embed(["one", "two"])
                return (clock.now() - began) / 1e9, rows

    took, rows = run_hurried(main(), clock)
    assert len(rows.succeeded) == 2
    assert took < 60


def test_before_a_real_server_the_slow_reply_is_left_for_the_second() -> None:
    clock = HurriedClock(20)

    async def main() -> tuple[float, Any]:
        slow = plans.Sequence([*[faults.Latency(0.5)] * 100, faults.Latency(600.0)])
        async with FakeServer(faults=slow) as server:
            client = LLMClient("openai/m", base_url=server.base_url, clock=clock, hedge=True)
            async with client:
                await quiet(client, PROMPTS[:100])
                began = clock.now()
                row = await client.ask("slow")
                check_nothing_is_held(client)
                return (clock.now() - began) / 1e9, row

    took, row = run_hurried(main(), clock)
    assert (row.completion, row.attempts, row.uncertain_attempts) == ("echo: slow", 2, 1)
    assert took < 60
