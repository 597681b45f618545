"""What is about to be sent is in the journal first, and what is not in it is not sent."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from headrace import RequestContext
from headrace.core.errors import DeadlineError
from headrace.engine.journal import Journal
from headrace.testing import Script
from headrace.testing.disk import FaultyDisk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headrace.core.model import Route
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

PROMPTS: Final = [f"p{n}" for n in range(100)]
JOURNAL: Final = Path("run.journal")


def test_no_request_is_sent_before_its_intent_is_in_the_file(world: type[World]) -> None:
    disk, missing = FaultyDisk(), []

    def rule(context: RequestContext, route: Route, n: int) -> float:
        del context, route
        missing.append(n + 1 - disk.content(JOURNAL).count(b'{"t":"i"'))
        return 0.1 * (n % 7)

    rows = world(Script(rule), disk=disk, max_concurrent_requests=20).run(PROMPTS, journal=JOURNAL)
    assert len(rows.succeeded) == len(missing) == len(PROMPTS)
    # Those of one turn are written together, so that some stand there ahead of their sends.
    assert min(missing) < max(missing) == 0


def test_a_deadline_that_passes_while_the_intent_is_written_sends_nothing(
    world: type[World],
) -> None:
    disk, script = FaultyDisk(), Script()
    sim = world(script, disk=disk)

    async def main() -> None:
        async with sim.client.process_stream(rows(), journal=JOURNAL) as responses:
            [row] = [row async for row in responses]
        assert (type(row.error), row.attempts, script.calls) == (DeadlineError, 0, [])

    async def rows() -> AsyncIterator[RequestContext]:
        disk.before_write = lambda: sim.clock.advance(
            2.0
        )  # the file is open: what follows is the intent
        yield RequestContext(prompt="p", deadline=1.0)

    sim.play(main)
    with closing(Journal.open(JOURNAL, disk=disk)) as journal:
        assert journal.recovered.in_flight == 0
