"""Runs whose slow requests are sent twice: cancelled, killed, shared, and what they cost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import Model, Price, RequestContext
from headrace.core.errors import OverloadedError, RateLimitError
from headrace.engine.journal import Journal
from headrace.testing import Answer, Failure, Script
from headrace.testing.disk import FaultyDisk
from headrace.testing.provider import prompt_of
from tests.clients import check_nothing_is_held, quiet
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from headrace.testing.provider import Outcome, Rule
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

JOURNAL: Final = Path("run.journal")
PROMPTS: Final = [f"p{n}" for n in range(1_000)]


def long_tailed(seed: int, slow: float = 0.02, times: float = 100.0) -> Rule:
    """Most answers take about a second, a part of them ``times`` as long."""
    dice = random.Random(seed)

    def rule(context: RequestContext, route: object, n: int) -> Outcome:
        del context, route, n
        return dice.uniform(0.5, 1.5) * (times if dice.random() < slow else 1.0)

    return rule


def sends(sim: World) -> Counter[str]:
    return Counter(call.prompt for call in sim.script.calls)


def test_the_tail_falls_and_each_row_has_one_answer(world: type[World]) -> None:
    plain = world(Script(long_tailed(1)), max_concurrent_requests=100)
    plain.run(PROMPTS)
    sim = world(Script(long_tailed(1)), max_concurrent_requests=100, hedge=True)
    rows = sim.run(PROMPTS)
    assert [row.completion for row in rows] == [f"echo: {prompt}" for prompt in PROMPTS]
    assert sim.elapsed < plain.elapsed / 3
    twice = [prompt for prompt, count in sends(sim).items() if count > 1]
    assert max(sends(sim).values()) == 2
    assert 10 < len(twice) <= 0.05 * len(sim.script.calls)
    assert sum(row.attempts for row in rows) == len(sim.script.calls)
    assert sum(row.uncertain_attempts for row in rows) == len(twice)
    found = sim.client.statistics()
    assert (found.sent, found.hedged) == (len(sim.script.calls), len(twice))
    assert found.abandoned == len(twice)
    assert found.succeeded == len(PROMPTS)


@pytest.mark.parametrize("share", [0.02, 0.1])
@pytest.mark.parametrize("seed", first_of(*range(5)))
def test_copies_never_cost_more_than_their_share(
    world: type[World], seed: int, share: float
) -> None:
    """Each answer has a length and price of its own; what takes long, says much and is dear."""
    dice = random.Random(seed)
    tokens = {prompt: int(dice.lognormvariate(5, 1)) + 1 for prompt in PROMPTS}

    def rule(context: RequestContext, route: object, n: int) -> Outcome:
        del route, n
        said = tokens[prompt_of(context)]
        times = 30 if dice.random() < 0.2 else 1
        return Answer("x", 0.01 * said * times, input_tokens=0, output_tokens=said)

    model = Model(id="openai/m", price=Price(input=Decimal(0), output=Decimal(1)))
    sim = world(Script(rule), model, max_concurrent_requests=50, hedge={"share": share})
    sim.run(PROMPTS)
    total = sum(tokens[prompt] * count for prompt, count in sends(sim).items())
    copies = sum(tokens[prompt] * (count - 1) for prompt, count in sends(sim).items())
    # One that is dearer than all before it is paid before the next.
    assert 0 < copies <= share * total + max(tokens.values())


def test_a_server_that_gets_slower_for_everyone_is_not_sent_everything_twice(
    world: type[World],
) -> None:
    dice = random.Random(1)

    def rule(context: RequestContext, route: object, n: int) -> Outcome:
        del context, route
        return dice.uniform(1, 2) * (20 if n > 500 else 1)

    sim = world(Script(rule), max_concurrent_requests=100, hedge=True)
    sim.run(PROMPTS)
    early = [call for call in sim.script.calls if 500 < call.n < 700]
    copies = len(sim.script.calls) - len(PROMPTS)
    assert copies <= 0.05 * len(sim.script.calls)
    assert len({call.prompt for call in early}) > 0.8 * len(early)
    # What is slow is what is slow now: those at the end are no slower than their neighbours.
    late = Counter(call.prompt for call in sim.script.calls[900:])
    assert sum(count > 1 for count in late.values()) <= 0.1 * len(late)


def shaky(seed: int) -> Rule:
    """Slow answers, refusals and failures, each now and then."""
    dice = random.Random(seed)

    def rule(context: RequestContext, route: object, n: int) -> Outcome:
        del context, route
        place = dice.random()
        if n < 60 or place < 0.6:
            return 0.2
        if place < 0.9:
            return dice.uniform(1, 10)
        error = OverloadedError("busy", status=500) if place < 0.97 else LIMITED
        return Failure(error, dice.uniform(0.1, 1))

    return rule


LIMITED: Final = RateLimitError("slow", status=429, hint=0.3)


@pytest.mark.parametrize("options", [{}, {"cache": "memory"}, {"max_requests_per_minute": 1_000}])
@pytest.mark.parametrize(
    "moment", first_of(1.3, 2.6, 0.3, 0.9, 1.0, 1.7, 2.2, 3.1, 3.6, 4.4, shown=2)
)
def test_a_run_cancelled_at_any_moment(
    world: type[World], tmp_path: Path, moment: float, options: dict[str, Any]
) -> None:
    journal, seed = tmp_path / "run.journal", int(moment * 10)
    sim = world(
        Script(shaky(seed)),
        max_concurrent_requests=20,
        hedge={"share": 1},
        max_attempts=20,
        **options,
    )
    prompts = PROMPTS[:300]

    async def main() -> None:
        run = asyncio.create_task(quiet(sim.client, prompts, journal=journal))
        await asyncio.sleep(moment)
        run.cancel()
        await asyncio.wait({run})
        assert asyncio.all_tasks() == {asyncio.current_task()}
        check_nothing_is_held(sim.client)
        assert sim.script.in_flight == 0
        rows = await quiet(sim.client, prompts, journal=journal)
        assert len(rows.succeeded) == len(prompts)
        check_nothing_is_held(sim.client)

    sim.play(main)
    with closing(Journal.open(journal)) as known:
        assert (known.recovered.answered, known.recovered.in_flight) == (len(prompts), 0)


def test_some_of_these_runs_are_cancelled_with_two_copies_under_way(world: type[World]) -> None:
    sim = world(Script(shaky(13)), max_concurrent_requests=20, hedge={"share": 1}, max_attempts=20)
    sim.run(PROMPTS[:300])
    assert sim.client.statistics().hedged > 10


# The journal.


def test_a_row_has_one_answer_in_the_journal(world: type[World]) -> None:
    disk = FaultyDisk()
    sim = world(Script(long_tailed(2)), max_concurrent_requests=100, hedge=True, disk=disk)
    rows = sim.run(PROMPTS, journal=JOURNAL)
    assert len(rows.succeeded) == len(PROMPTS)
    assert disk.content(JOURNAL).count(b'{"t":"i"') == len(sim.script.calls) > len(PROMPTS)
    assert disk.content(JOURNAL).count(b'{"t":"a"') == len(PROMPTS)
    again = world(Script(), disk=disk)
    replayed = again.run(PROMPTS, journal=JOURNAL)
    assert not again.script.calls
    assert [row.attempts for row in replayed] == [row.attempts for row in rows]
    assert [row.cost for row in replayed] == [row.cost for row in rows]


def test_killed_with_both_copies_under_way_one_row_is_to_be_asked_again(
    world: type[World],
) -> None:
    disk, left = FaultyDisk(), []

    def rule(context: RequestContext, route: object, n: int) -> Outcome:
        del route, n
        if prompt_of(context) != "slow":
            return 1.0
        left.append(disk.content(JOURNAL))
        return 50.0

    sim = world(Script(rule), max_concurrent_requests=100, hedge=True, disk=disk)
    sim.run([*PROMPTS[:400], "slow"], journal=JOURNAL)
    _, killed = left
    after = FaultyDisk()
    with closing(after.create(JOURNAL)) as file:
        file.write(killed)
    with closing(Journal.open(JOURNAL, disk=after)) as journal:
        assert (journal.recovered.answered, journal.recovered.in_flight) == (400, 1)
    again = world(Script(), disk=after)
    rows = again.run([*PROMPTS[:400], "slow"], journal=JOURNAL)
    assert [call.prompt for call in again.script.calls] == ["slow"]
    assert len(rows.succeeded) == 401


# Beside cache and sharing.


@pytest.mark.parametrize("options", [{"coalesce": True}, {"cache": "memory"}])
def test_those_who_share_a_request_share_both_copies(
    world: type[World], options: dict[str, Any]
) -> None:
    first: list[int] = []

    def rule(context: RequestContext, route: object, n: int) -> Outcome:
        del route
        if prompt_of(context) != "slow":
            return 1.0
        first.append(n)
        return 50.0 if n == first[0] else Answer("second", 1.0)

    sim = world(Script(rule), hedge=True, **options)

    async def main() -> None:
        await quiet(sim.client, PROMPTS[:400])
        rows = await asyncio.gather(*(sim.client.ask("slow") for _ in range(5)))
        assert [row.completion for row in rows] == ["second"] * 5
        assert sum(row.attempts for row in rows if row.source == "provider") == 2
        check_nothing_is_held(sim.client)
        again = await sim.client.ask("slow", deadline=60)
        assert (again.source == "cache") == ("cache" in options)

    sim.play(main)


def test_an_asker_who_leaves_leaves_the_copies_to_the_others(world: type[World]) -> None:
    sim = world(
        Script(lambda context, _r, _n: 10.0 if prompt_of(context) == "slow" else 1.0),
        hedge=True,
        coalesce=True,
    )

    async def main() -> None:
        await quiet(sim.client, PROMPTS[:400])
        asks = [asyncio.create_task(sim.client.ask("slow")) for _ in range(3)]
        await asyncio.sleep(5)
        assert sends(sim)["slow"] == 2
        asks[0].cancel()
        asks[1].cancel()
        await asyncio.wait(asks[:2])
        assert (await asks[2]).completion == "echo: slow"
        check_nothing_is_held(sim.client)

    sim.play(main)
