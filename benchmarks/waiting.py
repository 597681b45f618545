"""CPU per request with 1,000 and with 100,000 ``ask()`` calls waiting behind a rate limit.

That many askers each ask for ever, one question after the other, so that the queue stays as long
as it began. The limit of 60,000 requests/min lets 1,000 through a second. Once all wait, CPU is
measured until 5,000 more are answered: the same number in the same time in both cases, so that only
the length of the queue differs. The garbage of the start is collected before. The pairs run in
turns, each run in a fresh process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import orjson

from benchmarks.bare import Place
from benchmarks.contenders import prompts
from benchmarks.measure import Stopwatch
from benchmarks.ours import client_at
from benchmarks.report import Row, Sizes, absent_row, at_most, command_line, say, told_by_child
from benchmarks.server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace import HeadraceError, LLMClient

COMMAND = "python -m benchmarks.waiting"
FEW, MANY = 1_000, 100_000
PER_MINUTE = 60_000
MEASURED = 5_000
IN_FLIGHT = 200
SETTLING = 1.0


class Queue:
    """Askers without end, and counts of what began and what was answered."""

    def __init__(self, client: LLMClient) -> None:
        self._client = client
        self._numbers = itertools.count()
        self.begun = self.answered = 0
        self._reached = asyncio.Event()
        self._mark = 0
        self._failure: HeadraceError | None = None

    async def ask_for_ever(self) -> None:
        """One asker; a failure ends it, and whoever waits for ``more``."""
        self.begun += 1
        while self._failure is None:
            (prompt,) = prompts(next(self._numbers), 1)
            self._failure = self._failure or (await self._client.ask(prompt)).error
            self.answered += 1
            if self.answered == self._mark or self._failure:
                self._reached.set()

    async def more(self, count: int) -> None:
        """Wait until ``count`` more are answered; raises the error of one that failed."""
        self._mark = self.answered + count
        self._reached.clear()
        if self._failure is None:
            await self._reached.wait()
        if self._failure is not None:
            raise self._failure

    async def all_waiting(self, askers: int) -> None:
        """Wait until every asker has begun and had a second to come to rest."""
        while self.begun < askers:  # noqa: ASYNC110 - an event would cost each asker
            await asyncio.sleep(SETTLING / 10)
        await asyncio.sleep(SETTLING)
        await self.more(1)


async def micros(askers: int, count: int, url: str) -> float:
    """Microseconds of CPU per answer while ``askers`` wait."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as directory:
        place = Place(url, IN_FLIGHT, Path(directory))
        async with client_at(place, per_minute=PER_MINUTE) as client:
            queue = Queue(client)
            asking = [asyncio.ensure_future(queue.ask_for_ever()) for _ in range(askers)]
            await queue.all_waiting(askers)
            gc.collect()
            before = queue.answered
            with watch.running():
                await queue.more(count)
            answers = queue.answered - before
            for asker in asking:
                asker.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
    return watch.cpu / answers * 1e6


def pairs(url: str, sizes: Sizes) -> Iterator[tuple[float, float]]:
    """(many, few) in microseconds, each in a fresh process; ValueError when one failed."""
    for _ in range(sizes.pairs):
        seen = []
        for askers in (FEW, sizes.of(MANY)):
            arguments = ("--url", url, "--askers", str(askers), "--count", str(sizes.of(MEASURED)))
            told = told_by_child("benchmarks.waiting", *arguments)
            if "absent" in told:
                raise ValueError(str(told["absent"]))
            seen.append(float(str(told["micros"])))
            say(f"{askers:7} waiting {seen[-1]:9.1f} us CPU/request")
        yield seen[1], seen[0]


def measure(sizes: Sizes) -> list[Row]:
    """The rows of this benchmark."""
    what = f"CPU per request, {sizes.of(MANY):,} waiting against {FEW:,}"
    try:
        with serving() as url:
            seen = list(pairs(url, sizes))
    except ValueError as error:
        return [absent_row(what, str(error), COMMAND)]
    return [at_most(what, median(many / few for many, few in seen), 1.2, "x", COMMAND)]


def main() -> None:
    """The command line; with ``--askers`` it is the child that measures."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--askers", type=int, default=0)
    parser.add_argument("--count", type=int, default=MEASURED)
    parser.add_argument("--url", default="")
    given, _ = parser.parse_known_args()
    if given.askers:
        told = {"micros": asyncio.run(micros(given.askers, given.count, given.url))}
        print(orjson.dumps(told).decode())
    else:
        command_line(__doc__, measure)


if __name__ == "__main__":
    main()
