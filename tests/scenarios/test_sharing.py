"""What is known is answered first; identical requests share one send, each asker its own row."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from headrace import APIResponse, RequestContext, SamplingParams
from headrace.core.errors import DeadlineError, OverloadedError, RejectedError
from headrace.testing import Answer, Script

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.core.fingerprint import Key
    from tests.scenarios.conftest import World


def bare(row: APIResponse[object]) -> APIResponse[object]:
    """The response without what belongs to its row."""
    return replace(row, id="", index=0, tags=None, source="provider")


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_hit_costs_no_permit_and_is_all_that_was_returned(
    world: type[World], tmp_path: Path, kind: str
) -> None:
    cache = "memory" if kind == "memory" else tmp_path / "answers.sqlite"
    prompts = [f"p{n}" for n in range(50)]
    sim = world(Script(latency=0.5), cache=cache, max_requests_per_minute=60, threads=True)
    first = sim.run(prompts)
    before = sim.elapsed
    second = sim.run(prompts[::-1])[::-1]
    assert sim.elapsed - before < 1
    assert len(sim.script.calls) == 50
    assert [row.source for row in second] == ["cache"] * 50
    assert [bare(row) for row in second] == [bare(row) for row in first]
    assert sim.client.last_run is not None
    assert sim.client.last_run.summary.sends == 0
    assert "50 from the cache" in str(sim.client.last_run.summary)


def test_a_file_is_shared_between_clients(world: type[World], tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    first = world(Script(latency=0.5), cache=path, threads=True).run(["p"])
    other = world(Script(), cache=path, threads=True)
    second = other.run(["p"])
    assert second[0].source == "cache"
    assert bare(second[0]) == bare(first[0])
    assert not other.script.calls


def test_identical_requests_in_flight_share_one_send(world: type[World]) -> None:
    sim = world(Script(latency=1.0), coalesce=True)
    rows = sim.run(RequestContext(prompt="same", id=f"r{n}", tags={"n": n}) for n in range(100))
    assert len(sim.script.calls) == 1
    assert Counter(row.source for row in rows) == {"provider": 1, "coalesced": 99}
    assert [(row.id, row.index, row.tags) for row in rows] == [
        (f"r{n}", n, {"n": n}) for n in range(100)
    ]
    assert {row.completion for row in rows} == {"echo: same"}
    # After the flight nothing is remembered without a cache.
    assert sim.run(["same"])[0].source == "provider"


def test_without_a_cache_a_hundred_are_a_hundred(world: type[World]) -> None:
    sim = world(Script(latency=1.0))
    rows = sim.run(["same"] * 100)
    assert len(sim.script.calls) == 100
    assert {row.source for row in rows} == {"provider"}
    assert sim.client.last_run is not None
    assert sim.client.last_run.summary.duplicates == 99
    assert "99 asked more than once" in str(sim.client.last_run.summary)


def test_a_cache_can_be_used_without_sharing_what_is_in_flight(world: type[World]) -> None:
    sim = world(Script(latency=1.0), cache="memory", coalesce=False)
    sim.run(["same"] * 10)
    assert len(sim.script.calls) == 10
    assert sim.run(["same"])[0].source == "cache"


def test_the_first_asker_may_leave(world: type[World]) -> None:
    sim = world(Script(latency=10.0), coalesce=True)

    async def main() -> list[tuple[str, str]]:
        rows = [RequestContext(prompt="same", id=name) for name in ("first", "second", "third")]
        asks = []
        for row in rows:
            asks.append(asyncio.create_task(sim.client.process_single_request(row)))
            await asyncio.sleep(1)
        asks[0].cancel()
        answers = await asyncio.gather(*asks[1:])
        assert asks[0].cancelled()
        return [(answer.id, answer.source) for answer in answers]

    # One of them stands for the send, so that what it cost is counted, and counted once.
    assert sim.play(main) == [("second", "provider"), ("third", "coalesced")]
    assert len(sim.script.calls) == 1
    assert sim.elapsed == pytest.approx(10)


def test_the_send_ends_when_the_last_asker_leaves(world: type[World]) -> None:
    sim = world(Script(latency=1_000.0), coalesce=True, max_concurrent_requests=1)

    async def main() -> int:
        askers = [asyncio.create_task(sim.client.ask("same")) for _ in range(3)]
        await asyncio.sleep(1)
        for asker in askers:
            asker.cancel()
        await asyncio.wait(askers)
        return sim.script.in_flight

    assert sim.play(main) == 0
    assert sim.elapsed == pytest.approx(1)


def test_each_asker_has_its_own_deadline(world: type[World]) -> None:
    sim = world(Script(latency=10.0), coalesce=True)
    rows = sim.run(RequestContext(prompt="same", deadline=d) for d in (1.0, 5.0, None, 20.0))
    assert [type(row.error) for row in rows] == [DeadlineError] * 2 + [type(None)] * 2
    assert len(sim.script.calls) == 1
    assert sim.elapsed == pytest.approx(10)


def test_a_failure_is_shared_but_not_remembered(world: type[World]) -> None:
    sim = world(Script([RejectedError("no", status=400)]), cache="memory")
    rows = sim.run(["same"] * 3)
    assert [type(row.error) for row in rows] == [RejectedError] * 3
    assert [row.id for row in rows] == ["0", "1", "2"]
    assert len(sim.script.calls) == 1
    again = sim.run(["same"])
    assert again[0].completion == "echo: same"


@pytest.mark.parametrize("reason", ["length", "filtered"])
def test_what_was_cut_or_blocked_is_not_remembered(world: type[World], reason: str) -> None:
    sim = world(Script([Answer("half an ans", finish_reason=reason)]), cache="memory")
    assert sim.run(["p"])[0].finish_reason == reason
    assert sim.run(["p"])[0].finish_reason == "stop"
    assert len(sim.script.calls) == 2


def test_a_retry_is_part_of_the_shared_send(world: type[World]) -> None:
    sim = world(Script([OverloadedError("busy", status=500)], latency=0.5), cache="memory")
    rows = sim.run(["same"] * 5)
    assert {row.attempts for row in rows} == {2}
    assert len(sim.script.calls) == 2


def test_an_explicit_default_is_another_request(world: type[World]) -> None:
    sim = world(Script(latency=0.1), cache="memory")
    sim.run(["p"])
    sim.run(["p"], sampling_params=SamplingParams(temperature=1.0))
    sim.run(["p"], sampling_params=SamplingParams(temperature=None))
    assert len(sim.script.calls) == 2


def test_parameters_of_client_call_and_row_make_one_request(world: type[World]) -> None:
    sim = world(
        Script(latency=0.1), cache="memory", sampling_params=SamplingParams(temperature=0.5)
    )
    sim.run([RequestContext(prompt="p", params=SamplingParams(seed=1))])
    rows = sim.run(["p"], sampling_params=SamplingParams(seed=1))
    assert rows[0].source == "cache"


def test_models_do_not_answer_for_each_other(world: type[World]) -> None:
    sim = world(Script(latency=0.1), cache="memory")
    sim.run(["p"])
    assert sim.run(["p"], model="openai/other")[0].source == "provider"
    assert sim.run(["p"], model="openai/m")[0].source == "cache"


def test_models_with_parameters_of_their_own_remember_apart(world: type[World]) -> None:
    own = [SamplingParams(temperature=0.0), SamplingParams(temperature=1.0)]
    pair = ["openai/a", "openai/b"]
    first = world(Script(latency=0.1), pair, sampling_params=own, cache="memory")
    rows = first.run(["p", "q"])
    assert [row.source for row in first.run(["p", "q"])] == ["cache", "cache"]
    assert len(first.script.calls) == 2
    assert len(rows.succeeded) == 2


def test_bad_rows_stand_beside_shared_ones(world: type[World]) -> None:
    sim = world(Script(latency=0.1), cache="memory")
    rows = sim.run(["p", "", "p", None, "\ud800", "p"])
    assert [row.is_error for row in rows] == [False, True, False, True, True, False]
    assert len(sim.script.calls) == 1


class Unreachable:
    """A caller's own store that is down."""

    def __init__(self, *calls: str) -> None:
        self._calls = calls

    async def get(self, key: Key) -> APIResponse[object] | None:
        del key
        self._trip("get")
        return None

    async def put(self, key: Key, response: APIResponse[object]) -> None:
        del key, response
        self._trip("put")

    async def aclose(self) -> None:
        """Nothing is open."""

    def _trip(self, call: str) -> None:
        if call in self._calls:
            raise OSError("the store is down")


@pytest.mark.parametrize("calls", [["get"], ["put"], ["get", "put"]], ids="+".join)
def test_a_cache_that_raises_costs_hits_and_no_answer(
    world: type[World], calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = world(Script(), cache=Unreachable(*calls)).run(["a", "b", "c"])
    assert [row.completion for row in rows] == ["echo: a", "echo: b", "echo: c"]
    assert len(caplog.records) == 1  # of each kind of error one
