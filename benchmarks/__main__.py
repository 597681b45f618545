"""``python -m benchmarks``: all of them, one after the other, and one table at the end."""

from __future__ import annotations

from benchmarks import cache, imports, limit, memory, overhead, throughput, waiting
from benchmarks.report import Row, Sizes, command_line

ALL = (imports, overhead, memory, throughput, cache, waiting, limit)


def measure(sizes: Sizes) -> list[Row]:
    """The rows of all benchmarks."""
    return [row for benchmark in ALL for row in benchmark.measure(sizes)]


if __name__ == "__main__":
    command_line(__doc__, measure)
