"""``python -m benchmarks``: all of them, one after the other, and one table at the end.

``python -m benchmarks limits`` is the table of limits in virtual time, which stands by itself.
"""

from __future__ import annotations

import sys

from benchmarks import cache, imports, limit, limits, memory, overhead, throughput, waiting
from benchmarks.report import Row, Sizes, absent_row, command_line

ALL = (imports, overhead, memory, throughput, cache, waiting, limit)


def measure(sizes: Sizes) -> list[Row]:
    """The rows of all benchmarks; one that breaks costs none of the others' rows."""
    rows: list[Row] = []
    for benchmark in ALL:
        try:
            rows += benchmark.measure(sizes)
        except Exception as error:  # noqa: BLE001 - becomes that benchmark's row
            rows.append(absent_row(benchmark.__name__, f"failed: {error}", benchmark.COMMAND))
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["limits"]:
        limits.main(sys.argv[2:])
    else:
        command_line(__doc__, measure)
