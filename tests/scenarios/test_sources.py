"""Generators that are handed over as prompts end with the run that draws from them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

import pytest

from headrace import NoRouteError
from headrace.core.errors import GoneError, JournalError
from headrace.engine.journal import Journal
from headrace.testing import Script
from tests.clients import made

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from headrace.config import Prompts
    from tests.scenarios.conftest import World


class Told:
    """Prompts without end, in several forms; says what has been closed."""

    def __init__(self) -> None:
        self.drawn = 0
        self.closed: list[str] = []

    def several(self) -> Iterator[str]:
        try:
            while True:
                self.drawn += 1
                yield f"p{self.drawn}"
        finally:
            self.closed.append("several")

    async def slowly(self) -> AsyncIterator[str]:
        try:
            for prompt in self.several():
                await asyncio.sleep(0.01)
                yield prompt
        finally:
            await asyncio.sleep(1)  # such as a cursor of a database
            self.closed.append("slowly")

    def __aiter__(self) -> AsyncIterator[str]:
        return self.slowly()

    def form(self, name: str) -> Prompts:
        forms: dict[str, Prompts] = {
            "sync": self.several(),
            "async": self.slowly(),
            "iterable": self,
        }
        return forms[name]


forms = pytest.mark.parametrize("form", ["sync", "async", "iterable"])


@forms
def test_when_a_stream_is_left(world: type[World], form: str) -> None:
    told, sim = Told(), world(Script(latency=0.1), max_concurrent_requests=5)

    async def main() -> None:
        async with sim.client.process_stream(told.form(form)) as responses:
            async for _ in responses:
                break
        assert told.closed[-1] == ("several" if form == "sync" else "slowly")

    sim.play(main)


@forms
def test_when_a_run_is_cancelled(world: type[World], form: str) -> None:
    told, sim = Told(), world(Script(latency=0.1), max_concurrent_requests=5)

    async def main() -> None:
        run = asyncio.create_task(sim.client.process_prompts_async(told.form(form)))
        await asyncio.sleep(3)
        run.cancel()
        await asyncio.wait({run})
        assert told.closed[-1] == ("several" if form == "sync" else "slowly")

    sim.play(main)


@forms
def test_when_a_run_stops(world: type[World], form: str) -> None:
    told, sim = Told(), world(Script(lambda *_: GoneError("401")))
    prompts = told.form(form)
    with pytest.raises(NoRouteError):
        sim.run(prompts)
    assert told.closed[-1] == ("several" if form == "sync" else "slowly")


def test_what_a_generator_raises_while_it_is_closed_hides_nothing(
    world: type[World], caplog: pytest.LogCaptureFixture
) -> None:
    def prompts() -> Iterator[str]:
        try:
            while True:
                yield "p"
        finally:
            raise LookupError("the caller's own")

    with pytest.raises(NoRouteError), caplog.at_level(logging.ERROR, "headrace"):
        world(Script(lambda *_: GoneError("401"))).run(prompts())
    assert "the generator of prompts failed while it was closed" in caplog.text
    assert "the caller's own" in caplog.text


def test_a_run_that_never_began_draws_and_closes_nothing(
    world: type[World], tmp_path: Path
) -> None:
    told, path = Told(), tmp_path / "run.journal"
    prompts = told.several()
    other = Journal.open(path)
    with pytest.raises(JournalError):
        world(Script()).run(prompts, journal=path)
    other.close()
    assert (told.drawn, told.closed) == (0, [])
    assert next(prompts) == "p1"


def test_what_is_no_generator_stays_open(world: type[World], tmp_path: Path) -> None:
    told, path = Told(), tmp_path / "prompts.txt"
    mine = told.several()
    world(Script()).run(itertools.islice(mine, 10))
    assert (next(mine), told.closed) == ("p11", [])
    path.write_text("one\ntwo\nthree\n", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        with pytest.raises(NoRouteError):
            world(Script(lambda *_: GoneError("401"))).run(file)
        assert not file.closed


def test_the_sync_verb_closes_too() -> None:
    told = Told()
    client = made(Script(lambda *_: GoneError("401")))
    with pytest.raises(NoRouteError):
        client.process_prompts_sync(told.several(), show_progress=False)
    assert told.closed == ["several"]
    client.close()


class Queue:
    """An iterator that would block when it is asked again after its end."""

    def __init__(self) -> None:
        self.asked = 0

    def __iter__(self) -> Queue:
        return self

    def __next__(self) -> str:
        self.asked += 1
        if self.asked > 3:
            raise StopIteration
        return f"p{self.asked}"


def test_a_source_is_not_asked_again_after_its_end(world: type[World]) -> None:
    source = Queue()
    assert len(world(Script(latency=0.1)).run(source).succeeded) == 3
    assert source.asked == 4
