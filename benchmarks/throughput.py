"""The rate at 2,000 in flight and 0.5 s latency as a share of the bare loop's, and the loop's lag.

Lag is how late a callback that is due now would run, at the 99th percentile of 5 ms ticks: in
that run, and with 200 in flight at a server that answers at once.
"""

from __future__ import annotations

from benchmarks.report import Row, Sizes, Turns, absent_row, command_line, in_turns, wall
from benchmarks.server import serving

COMMAND = "python -m benchmarks.throughput"
NAMES = ("bare", "headrace")
PROMPTS = 40_000
AT_ONCE = 20_000
SHARE = 0.97
LAG = 0.020


def lag_rows(turns: Turns, when: str) -> list[Row]:
    """The lag of both contenders; headrace's has a target."""
    rows = [absent_row(name, why, COMMAND) for name, why in turns.absent.items()]
    for name in turns.seen:
        lag = turns.middle(name, lambda figures: figures.lag)
        target, met = ("< 20 ms", lag < LAG) if name == "headrace" else ("", None)
        what = f"{name}: loop lag, 99th percentile, {when}"
        rows.append(Row(what, f"{lag * 1000:.1f} ms", target, met, COMMAND))
    return rows


def measure(sizes: Sizes) -> list[Row]:
    """All rows of this benchmark."""
    flags = ("--in-flight", "2000", "--warm-up", "4000", "--lag")
    with serving(latency=0.5) as url:
        slow = in_turns(NAMES, url, sizes.of(PROMPTS), sizes.pairs, *flags)
    with serving() as url:
        fast = in_turns(NAMES, url, sizes.of(AT_ONCE), sizes.pairs, "--lag")
    rows = lag_rows(slow, "2,000 in flight at 0.5 s") + lag_rows(fast, "200 in flight, no latency")
    if slow.has(*NAMES):
        share = slow.ratio("bare", "headrace", wall)
        what = "rate against bare, 2,000 in flight at 0.5 s"
        rows.insert(0, Row(what, f"{share:.1%}", f"≥ {SHARE:.0%}", share >= SHARE, COMMAND))
    return rows


if __name__ == "__main__":
    command_line(__doc__, measure)
