"""One contender in a process of its own: warm up, measure, print one JSON line.

``python -m benchmarks.contenders NAME --url URL --n 20000 --in-flight 200``
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from benchmarks.bare import Contender, Place
from benchmarks.measure import Figures, Lag, Stopwatch, peak, reset_peak, resident

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WHERE = {
    "bare": ("benchmarks.bare", "Bare"),
    "headrace": ("benchmarks.ours", "Headrace"),
    "headrace-journal": ("benchmarks.ours", "HeadraceJournal"),
    "headrace-stream": ("benchmarks.ours", "HeadraceStream"),
    "headrace-memory-cache": ("benchmarks.ours", "MemoryCache"),
    "headrace-sqlite-cache": ("benchmarks.ours", "SqliteCache"),
    "lm-deluge": ("benchmarks.peers", "LmDeluge"),
    "async-batch-llm": ("benchmarks.peers", "AsyncBatchLlm"),
    "async-batch-llm-journal": ("benchmarks.peers", "AsyncBatchLlmJournal"),
    "openai": ("benchmarks.peers", "OpenAI"),
    "litellm": ("benchmarks.peers", "LiteLLM"),
}
QUESTION = "Where does the water of the mill go once it has left the wheel? " * 4
SHARES = (0.1, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Order:
    """What a contender is to do; ``warm_up`` counts prompts, 0 means all of the run's."""

    name: str
    n: int
    warm_up: int
    lazy: bool
    lag: bool


def prompts(first: int, count: int) -> Iterator[str]:
    """Different prompts of about 260 characters."""
    return (f"{number}. {QUESTION}" for number in range(first, first + count))


def contender(name: str, place: Place) -> Contender:
    """The contender called ``name``; ImportError when what it needs is not installed."""
    module, kind = WHERE[name]
    made = getattr(importlib.import_module(module), kind)(place)
    if not isinstance(made, Contender):
        raise TypeError(f"{name} is no contender.")
    return made


def marking(drawn: Iterable[str], n: int, marks: list[int]) -> Iterator[str]:
    """``drawn``, noting the resident size after each of ``SHARES`` of ``n`` prompts."""
    points = {max(1, int(n * share)) for share in SHARES}
    for number, prompt in enumerate(drawn, 1):
        yield prompt
        if number in points:
            marks.append(resident())


async def measured(order: Order, place: Place) -> Figures:
    """Warm up with ``order.warm_up`` prompts, then run and measure ``order.n`` others."""
    runner, watch, lag, marks = contender(order.name, place), Stopwatch(), Lag(), list[int]()
    await runner.open()
    first = order.warm_up
    asked = prompts(first, order.n) if order.lazy else list(prompts(first, order.n))
    await runner.run(list(prompts(0, order.warm_up or order.n)))
    gc.collect()
    reset_peak()
    base = resident()
    given = marking(asked, order.n, marks) if order.lazy else asked
    if order.lag:
        with lag.watched(), watch.running():
            await runner.run(given)
    else:
        with watch.running():
            await runner.run(given)
    highest, answered = peak(), runner.answered()
    await runner.close()
    return Figures(
        name=order.name,
        prompts=order.n,
        answered=answered,
        cpu=watch.cpu,
        wall=watch.wall,
        base=base,
        peak=highest,
        lag=lag.at(0.99),
        marks=tuple(marks),
    )


def main() -> None:
    """The command line. It prints an ``absent`` object when a library is not installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(WHERE))
    parser.add_argument("--url", required=True)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--warm-up", type=int, default=1_000, help="prompts; 0: those of the run")
    parser.add_argument("--lazy", action="store_true", help="prompts from a generator, with marks")
    parser.add_argument("--lag", action="store_true", help="watch how late the loop is")
    given = parser.parse_args()
    order = Order(given.name, given.n, given.warm_up, given.lazy, given.lag)
    with tempfile.TemporaryDirectory() as directory:
        place = Place(given.url, given.in_flight, Path(directory))
        try:
            told: object = asyncio.run(measured(order, place))
        except ImportError as error:
            told = {"absent": str(error)}
    print(orjson.dumps(told).decode(), flush=True)


if __name__ == "__main__":
    main()
