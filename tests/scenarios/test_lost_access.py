"""In the middle of a run a key is revoked or replaced, a region is closed, a model is retired.

Over real sockets, in the words of each API: what is left does the work, and where nothing is left
the run stops, keeps what it has, and goes on from there when it is started again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import (
    Endpoint,
    LLMClient,
    Model,
    NoRouteError,
    Responses,
    register_endpoint,
    unregister_endpoint,
)
from headrace.testing import FakeServer, HurriedClock, run_hurried
from headrace.testing.faults import Latency, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from headrace.testing.faults import Fault
    from headrace.testing.plans import Plan
    from headrace.testing.seen import RequestSeen

pytestmark = pytest.mark.once

PROMPTS: Final = [f"p{n}" for n in range(80)]
OLD, NEW = "sk-old-0123456789abcdef", "sk-new-0123456789abcdef"
AT_ONCE: Final = 8
REGION: Final = '{"error": {"code": "unsupported_country_region_territory", "message": "no"}}'
APIS: Final = [
    "openai",
    *(
        pytest.param(name, marks=pytest.mark.thorough)
        for name in ("anthropic", "google", "cohere", "ollama")
    ),
]


def losing(is_lost: Callable[[RequestSeen], bool], fault: Status, seed: int) -> Plan:
    """From some request on, those that ``is_lost`` meets are refused."""
    dice = random.Random(seed)
    since = dice.randrange(15, 40)

    def plan(seen: RequestSeen) -> Fault:
        wait = dice.uniform(0.1, 1.0)
        return Latency(wait, fault if seen.n >= since and is_lost(seen) else None)

    return plan


def at(server: FakeServer, api: str) -> str:
    return server.base_url if api == "openai" else server.anthropic_url


async def ask(client: LLMClient, **options: Any) -> Responses[Any]:
    async with client:
        rows: Responses[Any] = await client.process_prompts_async(
            PROMPTS, show_progress=False, **options
        )
        return rows


def run(main: Callable[[HurriedClock], Coroutine[object, object, None]]) -> None:
    clock = HurriedClock(40)
    run_hurried(main(clock), clock)


def check(rows: Responses[Any], server: FakeServer) -> None:
    assert [row.completion for row in rows] == [f"echo: {prompt}" for prompt in PROMPTS]
    # Each was answered, and so paid for, once.
    assert server.answered == Counter(PROMPTS)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("api", APIS)
def test_one_of_two_is_lost(api: str, status: int, seed: int) -> None:
    """One of two keys, or of two models, at the same API."""

    async def main(clock: HurriedClock) -> None:
        def is_lost(seen: RequestSeen) -> bool:
            return seen.model == "one" if status == 404 else seen.key == OLD

        async with FakeServer(faults=losing(is_lost, Status(status), seed)) as server:
            client = LLMClient(
                [f"{api}/one", f"{api}/two"] if status == 404 else f"{api}/one",
                api_key=OLD if status == 404 else [OLD, NEW],
                base_url=at(server, api),
                max_concurrent_requests=AT_ONCE,
                clock=clock,
            )
            check(await ask(client), server)
            # Those that were under way when it was told, and nothing afterwards.
            assert 1 <= server.ledger.statuses[status] <= AT_ONCE
            assert server.ledger.total == len(PROMPTS) + server.ledger.statuses[status]

    run(main)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("api", APIS)
def test_the_only_one_is_lost_and_comes_back(
    api: str, status: int, seed: int, tmp_path: Path
) -> None:
    journal = tmp_path / "run.journal"

    async def main(clock: HurriedClock) -> None:
        async with FakeServer(faults=losing(lambda _: True, Status(status), seed)) as server:

            def client() -> LLMClient:
                return LLMClient(
                    f"{api}/one",
                    api_key=OLD,
                    base_url=at(server, api),
                    max_concurrent_requests=AT_ONCE,
                    clock=clock,
                )

            first = client()
            with pytest.raises(NoRouteError, match=str(status)):
                await ask(first, journal=journal)
            assert first.last_run is not None
            assert not first.last_run.responses.failed
            assert server.ledger.statuses[status] <= AT_ONCE
            server.faults = None
            check(await ask(client(), journal=journal), server)

    run(main)


@pytest.fixture
def _rotated() -> Iterator[None]:
    os.environ["ROTATED_KEY"] = OLD
    yield
    del os.environ["ROTATED_KEY"]
    unregister_endpoint("rotated")


@pytest.mark.usefixtures("_rotated")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("status", [401, 403])
def test_a_key_is_replaced_while_many_are_under_way(status: int, seed: int) -> None:
    """The new one is in the environment when the old one is revoked."""

    def is_lost(seen: RequestSeen) -> bool:
        os.environ["ROTATED_KEY"] = NEW
        return seen.key == OLD

    async def main(clock: HurriedClock) -> None:
        async with FakeServer(faults=losing(is_lost, Status(status), seed)) as server:
            register_endpoint(
                Endpoint(
                    name="rotated",
                    wire="openai_chat",
                    base_url=server.base_url,
                    key_env=("ROTATED_KEY",),
                )
            )
            client = LLMClient(
                "rotated/m", max_concurrent_requests=AT_ONCE, max_attempts=1, clock=clock
            )
            check(await ask(client), server)
            assert server.ledger.statuses[status] <= AT_ONCE
            assert {seen.key for seen in server.received} == {OLD, NEW}

    run(main)


@pytest.fixture
def _regional() -> Iterator[None]:
    yield
    unregister_endpoint("regional")


@pytest.mark.usefixtures("_regional")
@pytest.mark.parametrize("seed", range(3))
def test_a_region_is_closed_and_the_other_does_the_work(seed: int) -> None:
    closed = Status(403, REGION)

    async def main(clock: HurriedClock) -> None:
        def is_lost(seen: RequestSeen) -> bool:
            return seen.path.startswith("/eu-west-1")

        async with FakeServer(faults=losing(is_lost, closed, seed)) as server:
            register_endpoint(
                Endpoint(
                    name="regional",
                    wire="openai_chat",
                    base_url=server.anthropic_url + "/{region}/v1",
                    auth="none",
                )
            )
            row = Model(id="regional/m", regions=("eu-west-1", "us-east-1"))
            client = LLMClient(row, max_concurrent_requests=AT_ONCE, clock=clock)
            rows = await ask(client)
            check(rows, server)
            assert 1 <= server.ledger.statuses[403] <= AT_ONCE
            assert {row.route for row in rows} == {"regional/m@eu-west-1", "regional/m@us-east-1"}

    run(main)
