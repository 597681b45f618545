"""Conversations stay with the key whose provider remembers how they began."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import Conversation, Message, Model
from headrace.core.errors import GoneError
from headrace.testing import Script
from tests.scenarios.outages import at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

KEYS: Final = [f"sk-{n}-0123456789" for n in range(3)]
LONG: Final = "word " * 1_000
COUNT: Final = 60


def opened(n: int, text: str = LONG) -> Conversation:
    return Conversation().system("Be brief.").user(f"{n} {text}")


def keyed(world: type[World], script: Script | None = None, **options: Any) -> World:
    model = Model(id="openai/m", max_concurrent_requests=128)
    return world(script or Script(latency=0.1), model, api_key=KEYS, **options)


def turns(
    sim: World, start: Callable[[int], Conversation], count: int = 3
) -> list[list[str | None]]:
    """The routes of each conversation, whose turns follow each other while all go on at once."""

    async def talk(n: int) -> list[str | None]:
        said, routes = start(n), []
        for turn in range(count):
            row = await sim.client.ask(said)
            routes.append(row.route)
            await asyncio.sleep(0.07 * (n % 5))  # in no step with the others
            said = said.assistant(row.completion or "?").user(f"and {turn}?")
        return routes

    async def main() -> list[list[str | None]]:
        return list(await asyncio.gather(*(talk(n) for n in range(COUNT))))

    return sim.play(main)


def test_all_turns_of_a_conversation_go_by_one_key_and_conversations_by_all(
    world: type[World],
) -> None:
    routes = turns(keyed(world), opened)
    assert all(len(set(each)) == 1 for each in routes)
    shares = Counter(each[0] for each in routes)
    assert len(shares) == 3
    assert min(shares.values()) > COUNT // 6
    # Another process chooses the same.
    assert turns(keyed(world), opened) == routes


def test_what_nobody_would_remember_goes_where_least_is_under_way(world: type[World]) -> None:
    routes = turns(keyed(world), lambda n: opened(n, "short"), count=1)
    assert set(Counter(each[0] for each in routes).values()) == {COUNT // 3}


def test_a_mark_for_the_cache_makes_short_ones_stay_too(world: type[World]) -> None:
    def start(n: int) -> Conversation:
        return opened(n, "short").cached()

    routes = turns(keyed(world), start)
    assert all(len(set(each)) == 1 for each in routes)
    moved = turns(keyed(world), lambda n: opened(n, "short"))
    assert not all(len(set(each)) == 1 for each in moved)


def test_what_many_begin_with_crowds_no_key(world: type[World]) -> None:
    common = Conversation((Message.system(LONG),)).cached()
    sim = keyed(world)
    rows = sim.run([common.user(f"p{n}") for n in range(300)])
    shares = sorted(Counter(row.route for row in rows).values())
    assert shares[2] - shares[0] <= 40


def test_a_key_that_is_closed_or_full_is_left_for_the_others(world: type[World]) -> None:
    closed = keyed(world, Script(at("openai/m#2", GoneError("401"))))
    routes = turns(closed, opened)
    assert {route for each in routes for route in each} == {"openai/m", "openai/m#3"}
    narrow = world(
        Script(latency=0.1), Model(id="openai/m", max_concurrent_requests=1), api_key=KEYS
    )
    alike = [opened(0).assistant("so?").user(f"q{n}") for n in range(30)]
    assert len(narrow.run(alike).succeeded) == 30
    assert narrow.elapsed == pytest.approx(0.1 * 30 / 3, abs=0.05)


def test_a_favoured_key_makes_no_other_draw(world: type[World]) -> None:
    options: dict[str, Any] = {"model_weights": [1, 1]}
    long = world(Script(latency=0.1), ["openai/a", "openai/b"], api_key=KEYS, **options)
    routes = turns(long, opened, count=1)
    models = Counter((each[0] or "").partition("#")[0] for each in routes)
    assert len(models) == 2
