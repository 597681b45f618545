"""Models of several priorities: the lower ones stand by, and serve only while they are needed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from headrace import ConfigError, Model
from headrace.core.errors import GoneError, OverloadedError, RateLimitError
from headrace.testing import Failure, Script
from tests.scenarios.outages import COUNT, PROMPTS, elapsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace import RequestContext
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

FAULT = Failure(OverloadedError("boom", status=500), 0.05)
FIRST = Model(id="openai/first", max_concurrent_requests=10)
SPARE = Model(id="openai/spare", max_concurrent_requests=20, priority=2)


def by_route(rules: dict[str, Any]) -> Rule:
    """What each route answers: an outcome, or one for each moment (seconds of the run)."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        found: Any = rules.get(route.id, 0.1)
        return found(elapsed()) if callable(found) else found  # type: ignore[no-any-return]  # a test's own table

    return rule


def sends(sim: World, start: float = 0, end: float = 1e9) -> Counter[str]:
    """How many went to each route in these seconds of the run."""
    within = [c for c in sim.script.calls if start <= c.at - 1_000 < end]
    return Counter(call.route.removeprefix("openai/") for call in within)


@pytest.mark.parametrize("models", [[FIRST, SPARE], [SPARE, FIRST]], ids=["in order", "reversed"])
def test_a_full_route_is_waited_for_while_it_is_well(
    world: type[World], models: list[Model]
) -> None:
    sim = world(Script(latency=0.1), models)
    assert len(sim.run(PROMPTS).succeeded) == COUNT
    assert sends(sim) == {"first": COUNT}


def test_who_waits_goes_on_when_the_first_is_parked_and_back_when_it_may(
    world: type[World],
) -> None:
    def first(now: float) -> Outcome:
        limit = RateLimitError("slow", status=429, hint=10.0)
        return Failure(limit, 0.05) if 1 <= now < 1.02 else 0.1

    sim = world(Script(by_route({"openai/first": first})), [FIRST, SPARE])
    assert len(sim.run([f"p{n}" for n in range(4_000)]).succeeded) == 4_000
    assert set(sends(sim, end=1)) == {"first"}
    assert sends(sim, 1.2, 11)["first"] == 0
    assert sends(sim, 1.2, 2)["spare"] > 100  # at once: those that waited, too
    assert set(sends(sim, 12)) == {"first"}


def test_while_the_first_is_open_it_is_probed_and_the_spare_serves(world: type[World]) -> None:
    sim = world(
        Script(by_route({"openai/first": lambda now: FAULT if 1 < now < 30 else 0.1})),
        [FIRST, SPARE],
    )
    rows = sim.run([f"p{n}" for n in range(10_000)])
    assert len(rows.succeeded) == 10_000
    assert 3 <= sends(sim, 2, 30)["first"] <= 20
    assert sends(sim, 2, 30)["spare"] > 2_000
    assert set(sends(sim, 39)) == {"first"}


def test_a_route_that_is_gone_leaves_all_to_the_spare(world: type[World]) -> None:
    sim = world(Script(by_route({"openai/first": GoneError("401")})), [FIRST, SPARE])
    assert len(sim.run(PROMPTS).succeeded) == COUNT
    assert sends(sim)["first"] <= 10


def test_who_failed_on_the_first_is_asked_of_the_spare(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del n
        bad = route.id == "openai/first" and context.index % 10 == 0
        return FAULT if bad else 0.1

    sim = world(Script(rule), [FIRST, SPARE])
    rows = sim.run(PROMPTS)
    assert len(rows.succeeded) == COUNT
    assert {row.index % 10 for row in rows if row.route == "openai/spare"} == {0}
    assert sends(sim)["spare"] == COUNT // 10


def test_of_the_spares_each_priority_has_its_turn(world: type[World]) -> None:
    models = [FIRST, SPARE, Model(id="openai/last", priority=7)]
    dead = {"openai/first": GoneError("401"), "openai/spare": GoneError("402")}
    sim = world(Script(by_route(dead)), models)
    assert len(sim.run(PROMPTS).succeeded) == COUNT
    assert sends(sim)["last"] == COUNT


def test_equal_ones_share_by_weight_and_take_over_from_each_other_first(
    world: type[World],
) -> None:
    models: Sequence[str | Model] = ["openai/a", "openai/b", Model(id="openai/c", priority=2)]
    weights = [3, 1, 5]
    sim = world(Script(latency=0.1), models, model_weights=weights)
    assert len(sim.run(PROMPTS).succeeded) == COUNT
    shares = sends(sim)
    assert shares["c"] == 0
    assert 0.7 < shares["a"] / COUNT < 0.8
    sim = world(Script(by_route({"openai/a": GoneError("401")})), models, model_weights=weights)
    assert len(sim.run(PROMPTS).succeeded) == COUNT
    assert sends(sim)["c"] == 0
    dead = {"openai/a": GoneError("401"), "openai/b": GoneError("402")}
    sim = world(Script(by_route(dead)), models, model_weights=weights)
    assert {row.route for row in sim.run(PROMPTS)} == {"openai/c"}


def test_one_that_waits_alone_notices_that_the_first_is_tripped(world: type[World]) -> None:
    sim = world(Script(latency=60.0), [Model(id="openai/first", max_concurrent_requests=1), SPARE])

    async def main() -> list[str | None]:
        under_way = asyncio.ensure_future(sim.client.ask("a"))
        await asyncio.sleep(1)
        waiting = asyncio.ensure_future(sim.client.ask("b"))
        await asyncio.sleep(1)
        sim.client.trip("openai/first")
        return [(await under_way).route, (await waiting).route]

    assert sim.play(main) == ["openai/first", "openai/spare"]
    assert sim.elapsed == pytest.approx(62, abs=0.1)


def test_what_waits_for_the_first_holds_nobody_back_from_the_spare(world: type[World]) -> None:
    sim = world(Script(latency=10.0), [Model(id="openai/first", max_concurrent_requests=1), SPARE])

    async def main() -> float:
        asked = [asyncio.ensure_future(sim.client.ask(f"p{n}")) for n in range(3)]
        await asyncio.sleep(1)
        row = await sim.client.ask("q", model="openai/spare")
        await asyncio.gather(*asked)
        return row.latency or 0

    assert sim.play(main) == pytest.approx(10)
    assert sends(sim) == {"first": 3, "spare": 1}
    assert sends(sim, 0.5, 2) == {"spare": 1}


def test_who_waits_elsewhere_goes_back_where_it_failed_when_nothing_else_is_well(
    world: type[World],
) -> None:
    models = [Model(id="openai/a"), Model(id="openai/b", max_concurrent_requests=1)]
    rules = {"openai/a": lambda now: FAULT if now < 0.1 else 0.1, "openai/b": 60.0}
    sim = world(Script(by_route(rules)), models)

    async def main() -> tuple[str | None, list[str]]:
        sim.client.trip("openai/a")
        under_way = asyncio.ensure_future(sim.client.ask("long", model="openai/b"))
        await asyncio.sleep(0)
        sim.client.reset("openai/a")
        row = asyncio.ensure_future(sim.client.ask("p"))
        await asyncio.sleep(5)
        waits = [status.route for status in sim.client.routes() if status.waiting]
        sim.client.trip("openai/b")
        route = (await row).route
        under_way.cancel()
        return route, waits

    assert sim.play(main) == ("openai/a", ["openai/a", "openai/b"])
    assert sim.elapsed == pytest.approx(5.1, abs=0.1)


@pytest.mark.parametrize("priority", [0, -1, 1.5, "high"])
def test_a_wrong_priority_is_refused(priority: object) -> None:
    wrong: Any = {"id": "openai/m", "priority": priority}
    with pytest.raises(ConfigError, match="priority: it must be "):
        Model(**wrong)
