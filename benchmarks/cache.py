"""Cached answers a second: a list of 20,000 different prompts is asked twice by one client.

The second pass is measured, and every answer of it must say that it came from the cache. The bare
loop's rate in the same run stands beside it as a yardstick.
"""

from __future__ import annotations

from benchmarks.report import Row, Sizes, absent_row, command_line, in_turns, wall
from benchmarks.server import serving

COMMAND = "python -m benchmarks.cache"
CACHES = ("headrace-memory-cache", "headrace-sqlite-cache")
PROMPTS = 20_000
HITS = 60_000


def measure(sizes: Sizes) -> list[Row]:
    """All rows of this benchmark."""
    n = sizes.of(PROMPTS)
    with serving() as url:
        turns = in_turns(("bare", *CACHES), url, n, sizes.pairs, "--warm-up", "0")
    rows = [absent_row(name, why, COMMAND) for name, why in turns.absent.items()]
    for name in CACHES:
        if not turns.has(name, "bare"):
            continue
        rate = n / turns.middle(name, wall)
        ratio = turns.ratio("bare", name, wall)
        target, met = ("≥ 60,000/s", rate >= HITS) if name == CACHES[0] else ("", None)
        figure = f"{rate:,.0f}/s ({ratio:.0f}x the bare loop's rate)"
        rows.append(Row(f"{name}: hits", figure, target, met, COMMAND))
    return rows


if __name__ == "__main__":
    command_line(__doc__, measure)
