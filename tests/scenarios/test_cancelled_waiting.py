"""Who leaves while waiting, for whatever it is, leaves no trace: in each case, by many seeds.

The same requests come twice at the same moments, the second time without those who left before
they were sent. All others must be sent in the same order, at the very same moments.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from headrace import Model, RequestContext, SamplingParams, SqliteLimits
from headrace.core.errors import OverloadedError, RateLimitError
from headrace.testing import Answer, Failure, Script, VirtualClock
from headrace.testing.provider import prompt_of
from headrace.testing.windows import Bucket
from tests.clients import check_nothing_is_held
from tests.scenarios.outages import elapsed
from tests.shared_book import SharedBook
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from pathlib import Path

    from headrace.adapters.shared import SharedLimits
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule
    from tests.scenarios.conftest import World

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("_elsewhere")]

NUMBERS: Final = count()
ID: Final = "openai/m"
WORDS: Final = "x" * 4 * 96
MOST: Final = SamplingParams(max_tokens=100)


@pytest.fixture
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written into the test's own folder."""
    monkeypatch.chdir(tmp_path)


class Asks(NamedTuple):
    """One request: when it comes, and after how many seconds its caller has enough of it."""

    name: str
    begins: float
    leaves: float | None


class Resource(NamedTuple):
    """What is waited for, as ``binding`` names it: ``scale`` seconds are its beat."""

    what: str
    options: Mapping[str, Any]
    rule: Callable[[], Rule]
    scale: float = 1.0
    asks: int = 40
    models: Any = ID
    shares: Callable[[], Shared] | None = None
    in_order: bool = True

    def world(self, world: type[World]) -> World:
        if self.shares is None:
            return world(Script(self.rule()), self.models, **self.options)
        shared = self.shares()
        sim = world(Script(self.rule()), self.models, shared_limits=shared.store, **self.options)
        shared.set(sim.clock)
        return sim


class Shared(NamedTuple):
    """Where limits are shared, and how it is told the clock of its world."""

    store: SharedLimits
    set: Callable[[VirtualClock], object]


def book() -> Shared:
    found = SharedBook(VirtualClock(), 0.001)
    return Shared(found, partial(setattr, found, "clock"))


class TheWorlds:
    """The clock of a world that is made later."""

    def __init__(self) -> None:
        self.clock = VirtualClock()

    def now(self) -> int:
        return self.clock.now()

    def wall(self) -> float:
        return self.clock.wall()


def file() -> Shared:
    clock = TheWorlds()
    return Shared(
        SqliteLimits(f"{next(NUMBERS)}.db", clock=clock), partial(setattr, clock, "clock")
    )


def answering(latency: float = 1.0) -> Callable[[], Rule]:
    """Replies use less than was reserved, so that something is given back each time."""
    reply = Answer("a", latency, input_tokens=90, output_tokens=60)
    return lambda: lambda *_: reply


def failing(error: OverloadedError | RateLimitError) -> Callable[[], Rule]:
    """What is sent within the third second fails."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        return Failure(error, 0.1) if 2 < elapsed() < 3 else 0.5

    return lambda: rule


def refusing() -> Rule:
    """So many a minute, which nobody has said."""
    bucket = Bucket(240.0, 0.0, 6.0)

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        if bucket.wait_for(1, elapsed()):
            # No two in the same instant: which of them is back first is for the event loop to say.
            place = int(prompt_of(context)[1:4]) / 1e5
            return Failure(RateLimitError("slow", status=429), 0.05 + place)
        bucket.take(1, elapsed())
        return 0.5

    return rule


def row(**limits: Any) -> Model:
    return Model(id=ID, **limits)


PAIR: Final = [
    Model(id="openai/small", max_concurrent_requests=1),
    Model(id="openai/large", max_concurrent_requests=2),
]
DRAWN: Final = {"model_weights": [3, 1]}
RESOURCES: Final = {
    "slots": Resource("concurrency", {"max_concurrent_requests": 2}, answering(2.0)),
    "requests/min": Resource("requests/min", {"max_requests_per_minute": 60}, answering()),
    "requests/day": Resource(
        "requests/day",
        {"patience": 90_000},
        answering(),
        scale=20_000.0,
        models=row(requests_per_day=8),
    ),
    "tokens/min": Resource("tokens/min", {"max_tokens_per_minute": 9_000}, answering()),
    "a row's tokens/min": Resource(
        "tokens/min", {}, answering(), models=row(tokens_per_minute=9_000)
    ),
    "input tokens/min": Resource(
        "input tokens/min", {}, answering(), models=row(input_tokens_per_minute=5_000)
    ),
    "output tokens/min": Resource(
        "output tokens/min", {}, answering(), models=row(output_tokens_per_minute=4_000)
    ),
    "several at once": Resource(
        "tokens/min",
        {"max_concurrent_requests": 3, "max_requests_per_minute": 70},
        answering(2.0),
        models=row(tokens_per_minute=10_000, output_tokens_per_minute=6_000),
    ),
    "a park": Resource(
        "quiet", {}, failing(RateLimitError("slow", status=429, hint=5.0)), in_order=False
    ),
    "a break": Resource(
        "breaker",
        {"breaker": {"failures": 2, "first_break": 6.0}},
        failing(OverloadedError("busy", status=503)),
        in_order=False,
    ),
    "a pace that was found": Resource(
        "pace", {"max_concurrent_requests": 40}, refusing, asks=120, in_order=False
    ),
    "a shared limit": Resource(
        "requests/min", {"max_requests_per_minute": 60}, answering(), shares=book
    ),
    "a limit shared by a file": Resource(
        "requests/min", {"max_requests_per_minute": 60}, answering(), shares=file
    ),
    "a drawn model": Resource("concurrency", DRAWN, answering(), models=PAIR, in_order=False),
    "a spill": Resource(
        "concurrency", {**DRAWN, "spill": True}, answering(3.0), models=PAIR, in_order=False
    ),
}


def plan(seed: int, count: int, scale: float) -> list[Asks]:
    """Who comes when, faster than they can be served, and then some who find it empty again."""
    dice = random.Random(seed)
    begins = sorted(dice.uniform(0, 10) for _ in range(count))
    begins += [200.0, 200.1]
    return [
        Asks(
            f"p{n:03}",
            begin * scale,
            dice.uniform(0, 6) * scale if begin < 200 and dice.random() < 0.6 else None,
        )
        for n, begin in enumerate(begins)
    ]


async def asked(sim: World, asks: Asks, waited: list[str]) -> None:
    """Ask, and leave when it is time; what was waited for then is noted."""
    await asyncio.sleep(asks.begins)
    context = RequestContext(prompt=f"{asks.name} {WORDS}", params=MOST)
    ask = asyncio.create_task(sim.client.process_single_request(context))
    if asks.leaves is not None:
        await asyncio.wait({ask}, timeout=asks.leaves)
        if not ask.done() and asks.name not in sent(sim):
            waited += [binding.what for binding in sim.client.statistics().binding]
        ask.cancel()
    await asyncio.wait({ask})
    assert ask.cancelled() or ask.result().error is None
    assert asks.leaves is not None or not ask.cancelled()


def sent(sim: World) -> dict[str, float]:
    """When each was sent first."""
    return {call.prompt[:4]: call.at for call in reversed(sim.script.calls)}


def played(
    world: type[World], resource: Resource, asks: Iterable[Asks], closes: float | None = None
) -> tuple[World, list[str]]:
    """What is waited for where these ask; the client is closed under them after so many seconds."""
    sim, waited = resource.world(world), list[str]()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for each in asks:
                group.create_task(asked(sim, each, waited))
            if closes is not None:
                await asyncio.sleep(closes)
                await sim.client.aclose()
        check_nothing_is_held(sim.client)
        assert sim.script.in_flight == 0

    sim.play(main)
    return sim, waited


@pytest.mark.parametrize("seed", first_of(*range(5)))
@pytest.mark.parametrize("name", RESOURCES)
def test_who_leaves_while_waiting_leaves_no_trace(world: type[World], name: str, seed: int) -> None:
    resource = RESOURCES[name]
    asks = plan(seed, resource.asks, resource.scale)
    sim, waited = played(world, resource, asks)
    gone = {each.name for each in asks if each.leaves is not None} - sent(sim).keys()
    assert len(gone) >= 2
    assert resource.what in waited
    others = [each for each in asks if each.name not in gone]
    if resource.in_order:
        assert list(sent(sim))[::-1] == [each.name for each in others]
    without, _ = played(world, resource, others)
    check_alike(sim, without)


def check_alike(sim: World, other: World) -> None:
    """The same was sent by the same routes at the same moments."""
    calls, others = sim.script.calls, other.script.calls
    assert [(c.prompt, c.route) for c in calls] == [(c.prompt, c.route) for c in others]
    assert [c.at for c in calls] == pytest.approx([c.at for c in others], rel=0, abs=1e-5)


@pytest.mark.parametrize("seed", first_of(*range(2)))
@pytest.mark.parametrize("name", RESOURCES)
def test_a_run_that_is_stopped_leaves_no_trace(world: type[World], name: str, seed: int) -> None:
    resource = RESOURCES[name]
    moment = random.Random(seed).uniform(4, 7) * resource.scale
    rows = plan(seed, resource.asks, resource.scale)
    sim = stopped(world, resource, rows, moment)
    started = [row for row in rows if row.name in sent(sim)]
    assert len(started) < len([row for row in rows if row.begins < moment])
    without = stopped(world, resource, started, moment)
    check_alike(sim, without)


def stopped(world: type[World], resource: Resource, rows: list[Asks], moment: float) -> World:
    """A run that is cancelled then, and a request that comes later."""
    sim = resource.world(world)

    async def source() -> AsyncIterator[RequestContext]:
        for row in rows:
            await asyncio.sleep(row.begins - elapsed())
            yield RequestContext(prompt=f"{row.name} {WORDS}", params=MOST)

    async def main() -> None:
        many = sim.client.process_prompts_async(source(), show_progress=False)
        run = asyncio.create_task(many)
        await asyncio.wait({run}, timeout=moment)
        run.cancel()
        await asyncio.wait({run})
        assert asyncio.all_tasks() == {asyncio.current_task()}
        check_nothing_is_held(sim.client)
        response = await sim.client.ask(f"last {WORDS}", sampling_params=MOST)
        assert response.error is None
        check_nothing_is_held(sim.client)

    sim.play(main)
    return sim


@pytest.mark.parametrize("name", RESOURCES)
def test_a_client_that_is_closed_meanwhile_delays_nobody(world: type[World], name: str) -> None:
    resource = RESOURCES[name]
    stay = [each._replace(leaves=None) for each in plan(0, resource.asks, resource.scale)]
    closed, _ = played(world, resource, stay, closes=5 * resource.scale)
    left_open, _ = played(world, resource, stay)
    check_alike(closed, left_open)


@pytest.mark.parametrize("what", ["tokens", "input_tokens", "output_tokens"])
def test_who_stands_behind_a_large_prompt_goes_as_soon_as_it_leaves(
    world: type[World], what: str
) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        return Answer("a", 0.1, input_tokens=len(prompt_of(context)) // 4, output_tokens=10)

    sim = world(Script(rule), row(**{f"{what}_per_minute": 10_000}))

    def ask(name: str, tokens: int) -> asyncio.Task[Any]:
        size, most = (tokens, 10) if what == "input_tokens" else (10, tokens)
        context = RequestContext(
            prompt=name + "x" * 4 * size, params=SamplingParams(max_tokens=most)
        )
        return asyncio.create_task(sim.client.process_single_request(context))

    async def main() -> None:
        first = ask("p1", 5_000)
        await asyncio.sleep(0)
        large = ask("p2", 9_500)
        await asyncio.sleep(1)
        small = ask("p3", 50)
        # By now there is room for the small one, and there is none for the large one for long.
        await asyncio.sleep(39)
        large.cancel()
        await asyncio.wait({first, large, small})
        check_nothing_is_held(sim.client)

    sim.play(main)
    at = {call.prompt[:2]: call.at - 1_000 for call in sim.script.calls}
    assert at == {"p1": 0, "p3": pytest.approx(40)}


def test_a_probe_whose_caller_leaves_lets_the_next_one_try(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        if 1 < elapsed() < 2:
            return Failure(OverloadedError("busy", status=503), 0.01)
        return 100.0 if prompt_of(context) == "slow" else 0.1

    sim = world(Script(rule), breaker={"failures": 1, "first_break": 5.0}, max_attempts=1)

    async def main() -> None:
        await sim.client.ask("well")
        await asyncio.sleep(1.5)
        ill = asyncio.create_task(sim.client.ask("ill"))
        await asyncio.wait({ill}, timeout=0.1)
        ill.cancel()
        asks = [asyncio.create_task(sim.client.ask(name)) for name in ("slow", "next", "last")]
        await asyncio.wait(asks, timeout=20)
        asks[0].cancel()
        await asyncio.wait(asks)
        check_nothing_is_held(sim.client)

    sim.play(main)
    at = {call.prompt: call.at - 1_000 for call in sim.script.calls}
    assert at["slow"] < 7
    assert [at["next"], at["last"]] == pytest.approx([21.7, 21.8])
