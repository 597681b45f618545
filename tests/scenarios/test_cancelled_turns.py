"""A run is cancelled in every turn of its event loop, and leaves what it should each time."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from headrace.core.errors import OverloadedError, RateLimitError
from headrace.engine.journal import PACE, Journal
from headrace.policy.buckets import SECOND
from headrace.testing import Failure, FaultyDisk, Script, VirtualLoop
from tests.clients import check_nothing_is_held

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace import RequestContext
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = [pytest.mark.once, pytest.mark.thorough]

# Some are alike, and so share a send.
PROMPTS: Final = [f"p{n % 5}" for n in range(7)]
JOURNAL: Final = Path("run.journal")
LATENCY: Final = 0.2
# The sends that fail, by their number: each kind of failure waits in a place of its own.
FAILS: Final = {
    1: Failure(RateLimitError("slow", status=429, hint=0.3), 0.1),
    3: Failure(OverloadedError("busy", status=500), 0.1),
}


class Turning(VirtualLoop):
    """Calls something at the beginning of so many of its turns from now on."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self._calls: dict[int, Callable[[], object]] = {}
        self._turn = 0

    def at_turn(self, turn: int, call: Callable[[], object]) -> None:
        self._calls[self._turn + turn] = call

    def _process_events(self, events: object) -> None:
        """What every loop does once a turn, before it runs what has become ready."""
        super()._process_events(events)  # type: ignore[misc]  # asyncio's own; the stubs lack it
        self._turn += 1
        if call := self._calls.pop(self._turn, None):
            call()


def fails_at_first(context: RequestContext, route: Route, n: int) -> Outcome:
    del context, route
    return FAILS.get(n, LATENCY)


async def cancelled(sim: World, turn: int, times: int) -> bool:
    """A run that is cancelled in its ``turn``-th turn, and the next ones; False: it ended before.

    Nobody is left when it has ended.
    """
    run = asyncio.create_task(
        sim.client.process_prompts_async(PROMPTS, journal=JOURNAL, show_progress=False)
    )
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Turning)
    for number in range(times):
        loop.at_turn(turn + number, run.cancel)
    await asyncio.wait({run})
    assert asyncio.all_tasks() == {asyncio.current_task()}, turn
    check_nothing_is_held(sim.client)
    assert sim.script.in_flight == 0, turn
    return run.cancelled()


def first_run(sim: World, turn: int, times: int) -> float | None:
    """When the run ended that was cancelled in this turn (loop's seconds); None: by itself."""

    async def main() -> float | None:
        async with sim.client:
            was_cancelled = await cancelled(sim, turn, times)
            return asyncio.get_running_loop().time() if was_cancelled else None

    with asyncio.Runner(loop_factory=lambda: Turning(sim)) as runner:
        return runner.run(main())


def handed_out(sim: World) -> set[str]:
    run = sim.client.last_run
    return set() if run is None else {row.id for row in run.responses.succeeded}


def answered(sim: World, ended: float) -> Counter[str]:
    """How often each prompt was answered before a run ended, as its provider knows."""
    done = [call for call in sim.script.calls if call.n not in FAILS]
    return Counter(call.prompt for call in done if call.at + LATENCY < ended)


def cut_short(sim: World, ended: float) -> int:
    """How many sends had begun and not ended by themselves before a run did."""
    lasts = {call.n: 0.1 if call.n in FAILS else LATENCY for call in sim.script.calls}
    return sum(call.at + lasts[call.n] >= ended for call in sim.script.calls)


def in_flight(disk: FaultyDisk) -> int:
    """How many rows the journal says may have been sent, and paid for, in vain."""
    journal = Journal.open(JOURNAL, disk=disk)
    journal.close()
    return journal.recovered.in_flight


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("cache", "wanted"), [(None, Counter(PROMPTS)), ("memory", Counter(set(PROMPTS)))]
)
def test_a_run_cancelled_in_any_turn(
    world: type[World], cache: str | None, wanted: Counter[str], times: int
) -> None:
    def made(script: Script, disk: FaultyDisk) -> World:
        return world(script, cache=cache, disk=disk, max_concurrent_requests=2)

    kept: set[int] = set()
    sim = made(Script(fails_at_first), disk := FaultyDisk())
    turn = 1
    while (ended := first_run(sim, turn, times)) is not None:
        kept.add(len(handed_out(sim)))
        assert in_flight(disk) <= cut_short(sim, ended)
        again = made(Script(), disk)
        rows = again.run(PROMPTS, journal=JOURNAL)
        assert [row.completion for row in rows] == [f"echo: {prompt}" for prompt in PROMPTS]
        assert handed_out(sim) <= {row.id for row in rows if row.source == "journal"}
        asked = Counter(call.prompt for call in again.script.calls)
        # Who shares an answer has it when that is on the disk.
        shared = ended if cache is None else ended - PACE / SECOND
        assert asked + answered(sim, shared) <= wanted
        sim = made(Script(fails_at_first), disk := FaultyDisk())
        turn += 1
    # It was a whole run at last, and had been cancelled with nothing and with nearly all done.
    assert len(handed_out(sim)) == len(PROMPTS)
    assert kept >= {0, 2, len(PROMPTS) - 1}
