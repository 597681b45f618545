"""Drawn models that spill: who has no room is left for who has, and else the draw holds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import ConfigError, Model, RequestContext
from headrace.core.errors import GoneError, OverloadedError, RateLimitError
from headrace.testing import Failure, Script
from tests.scenarios.outages import COUNT, PROMPTS, at, of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

SMALL: Final = Model(id="openai/small", max_concurrent_requests=2)
LARGE: Final = Model(id="openai/large", max_concurrent_requests=50)


def routes(sim: World) -> Counter[str]:
    return Counter(call.route.removeprefix("openai/") for call in sim.script.calls)


def made(world: type[World], script: Script | None = None, **options: Any) -> World:
    options.setdefault("model_weights", [9, 1])
    return world(script or Script(latency=0.1), [SMALL, LARGE], **options)


def test_a_full_model_is_left_for_one_that_has_room(world: type[World]) -> None:
    holds, spills = made(world), made(world, spill=True)
    assert len(holds.run(PROMPTS).succeeded) == len(spills.run(PROMPTS).succeeded) == COUNT
    assert 0.85 < routes(holds)["small"] / COUNT < 0.95
    assert holds.elapsed == pytest.approx(0.1 * routes(holds)["small"] / 2, rel=0.05)
    # Together they are as fast as they can be.
    assert spills.elapsed == pytest.approx(0.1 * COUNT / 52, rel=0.2)
    assert routes(spills)["small"] < 0.1 * COUNT


def test_where_there_is_room_the_draw_holds(world: type[World]) -> None:
    alone: dict[str, Any] = {"max_concurrent_requests": 1}
    holds, spills = made(world, **alone), made(world, spill=True, **alone)
    expected = [row.route for row in holds.run(PROMPTS)]
    assert [row.route for row in spills.run(PROMPTS)] == expected


def test_a_call_says_it_for_itself(world: type[World]) -> None:
    sim = made(world)
    sim.run(PROMPTS, spill=True)
    assert routes(sim)["small"] < 0.1 * COUNT
    sim = made(world, spill=True)
    sim.run(PROMPTS, spill=False)
    assert routes(sim)["small"] > 0.85 * COUNT


def test_what_weighs_nothing_gets_no_overflow_and_is_the_last_resort(world: type[World]) -> None:
    options: dict[str, Any] = {"model_weights": [1, 0], "spill": True}
    sim = made(world, **options)
    sim.run(PROMPTS[:100])
    assert routes(sim) == {"small": 100}
    sim = made(world, Script(at("openai/small", GoneError("401"))), **options)
    assert {row.route for row in sim.run(PROMPTS[:100])} == {"openai/large"}


def test_a_parked_model_is_left_too(world: type[World]) -> None:
    slow = RateLimitError("slow", status=429, hint=60.0)
    sim = made(world, Script(at("openai/small", slow)), spill=True)
    rows = sim.run(PROMPTS)
    assert len(rows.succeeded) == COUNT
    assert sim.elapsed < 10


def test_priorities_are_not_spilled_over(world: type[World]) -> None:
    spare = Model(id="openai/spare", priority=2)
    sim = world(Script(latency=0.1), [SMALL, LARGE, spare], model_weights=[5, 5, 90], spill=True)
    assert len(sim.run(PROMPTS).succeeded) == COUNT
    assert set(routes(sim)) == {"small", "large"}


def test_who_failed_on_one_goes_to_another_and_never_waits_for_the_first(
    world: type[World],
) -> None:
    fault = Failure(OverloadedError("boom", status=500), 0.05)
    sim = made(world, Script(of("p7", fault)), spill=True, max_attempts=4)
    rows = sim.run(PROMPTS)
    assert [row.index for row in rows.failed] == [7]
    tried = [call.route for call in sim.script.calls if call.prompt == "p7"]
    assert len(tried) == 4
    assert tried[0] != tried[1]


def test_a_resume_of_what_spilled_asks_nothing_again(world: type[World], tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    made(world, spill=True).run(PROMPTS, journal=path)
    again = made(world, spill=True)
    rows = again.run([*PROMPTS, "new"], journal=path)
    assert len(rows.succeeded) == COUNT + 1
    assert len(again.script.calls) == 1


def test_a_row_that_names_its_model_does_not_spill(world: type[World]) -> None:
    sim = made(world, spill=True)
    rows = sim.run([RequestContext(prompt=f"p{n}", model="openai/small") for n in range(50)])
    assert {row.route for row in rows} == {"openai/small"}


def test_a_wrong_spill_of_a_call_is_refused(world: type[World]) -> None:
    with pytest.raises(ConfigError, match="spill must be True, False or None, not 'often'"):
        made(world).run(["p"], spill="often")


def test_spilling_without_a_draw_is_refused(world: type[World]) -> None:
    with pytest.raises(ConfigError, match="spill needs model_weights for two models or more"):
        made(world, model_weights=None, spill=True)
    with pytest.raises(ConfigError, match="spill needs model_weights"):
        world(Script(), [SMALL], model_weights=[1], spill=True)
    sim = made(world, model_weights=None)
    with pytest.raises(ConfigError, match="spill needs model_weights"):
        sim.run(PROMPTS, spill=True)
    assert not sim.script.calls
    with pytest.raises(ConfigError, match="spill needs model_weights"):
        made(world).run(PROMPTS, model="openai/large", spill=True)
