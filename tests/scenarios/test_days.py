"""What a row says of a day is kept; used up, it ends a run as a server's own would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import LLMClient, Model, NoRouteError, RequestContext
from headrace.core.errors import OverloadedError, QuotaError
from headrace.testing import Failure, FakeServer, Script

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

ROWS: Final = [f"p{n}" for n in range(12)]
FIVE: Final = Model(id="openai/m", requests_per_day=5)
DAY: Final = 86_400


def stopped(sim: World, **options: Any) -> str:
    with pytest.raises(NoRouteError) as caught:
        sim.run(ROWS, **options)
    return str(caught.value)


def test_a_run_stops_and_goes_on_the_next_day(world: type[World], tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    sim = world(Script(latency=1.0), [FIVE])
    said = stopped(sim, journal=path)
    assert "requests/day of openai/m (5) are used up for longer than patience=900 s;" in said
    assert said.endswith("; raise requests_per_day, or run again later")
    # What was in flight came to its end, and nobody waited for the next day.
    assert sim.elapsed == pytest.approx(1.0, abs=0.1)
    assert sim.client.last_run is not None
    assert len(sim.client.last_run.responses.succeeded) == 5
    # Again at once: nothing is sent, and it is told anew.
    assert "are used up for" in stopped(sim, journal=path)
    assert len(sim.script.calls) == 5


def test_the_last_of_a_day_is_sent_though_its_connection_takes_a_while() -> None:
    with FakeServer.in_thread() as server, LLMClient([FIVE], base_url=server.base_url) as client:
        with pytest.raises(NoRouteError, match="are used up for longer than patience"):
            client.process_prompts_sync(ROWS, show_progress=False)
        assert sorted(server.counts) == sorted(ROWS[:5])
        assert client.last_run is not None
        assert len(client.last_run.responses.succeeded) == 5


def test_who_has_the_patience_waits(world: type[World]) -> None:
    sim = world(Script(latency=1.0), [FIVE], patience=DAY + 600)
    assert len(sim.run(ROWS).succeeded) == 12
    assert sim.elapsed == pytest.approx(2 * DAY, rel=0.01)


def test_another_model_goes_on_and_the_first_comes_back(world: type[World]) -> None:
    other = Model(id="openai/n", requests_per_minute=1)
    sim = world(Script(), [FIVE, other])
    prompts = [f"p{n}" for n in range(1_460)]
    rows = sim.run(prompts)
    assert len(rows.succeeded) == len(prompts)
    # A day has 1,440 minutes; what begins after it has the next five.
    assert sum(call.route == "openai/m" for call in sim.script.calls) == 10


def test_what_is_sent_again_counts_again_and_is_not_written_as_failed(world: type[World]) -> None:
    busy = Failure(OverloadedError("busy", status=503), 1.0)
    sim = world(Script([busy, busy]), [FIVE])
    stopped(sim)
    assert sim.client.last_run is not None
    responses = sim.client.last_run.responses
    assert len(sim.script.calls) == 5
    assert len(responses.succeeded) == 3
    assert not responses.failed


def test_a_row_that_names_its_own_model_fails_alone(world: type[World]) -> None:
    sim = world(Script(latency=1.0), ["openai/other", Model(id="openai/m", requests_per_day=1)])
    own = [RequestContext(prompt=f"own {n}", model="openai/m") for n in range(3)]
    rows = sim.run([*own, *ROWS])
    codes = [row.error.code if row.error else "answered" for row in rows]
    assert codes == ["answered", "quota", "quota", *["answered"] * 12]
    assert isinstance(rows[1].error, QuotaError)


def test_an_ask_says_it_too(world: type[World]) -> None:
    sim = world(Script(), [Model(id="openai/m", requests_per_day=1)])

    async def main() -> str:
        assert (await sim.client.ask("one")).completion == "echo: one"
        return str((await sim.client.ask("two")).error)

    assert "requests/day of openai/m (1) are used up" in sim.play(main)
