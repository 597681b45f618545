"""The rate at 2,000 in flight and 0.5 s latency as a share of the bare loop's, and the loop's lag.

Lag is how late a callback that is due now would run, at the 99th percentile of 5 ms ticks. With
one latency for all, replies come in the bursts in which the requests went out, and a loop that
finds a thousand sockets ready is late whoever wrote it: the run with mixed latencies shows the
lag of the contender itself.
"""

from __future__ import annotations

from benchmarks.report import Row, Sizes, Turns, absent_row, command_line, in_turns, wall
from benchmarks.server import serving

COMMAND = "python -m benchmarks.throughput"
NAMES = ("bare", "headrace")
RUNS = (
    (0.5, 0.0, 2_000, 40_000, "2,000 in flight at 0.5 s"),
    (0.5, 0.5, 2_000, 40_000, "2,000 in flight at 0.25 to 0.75 s"),
    (0.0, 0.0, 200, 20_000, "200 in flight, no latency"),
)
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


def share_row(turns: Turns, when: str) -> list[Row]:
    """headrace's rate as a share of the bare loop's."""
    if not turns.has(*NAMES):
        return []
    share = turns.ratio("bare", "headrace", wall)
    what = f"rate against bare, {when}"
    return [Row(what, f"{share:.1%}", f"≥ {SHARE:.0%}", share >= SHARE, COMMAND)]


def measure(sizes: Sizes) -> list[Row]:
    """All rows of this benchmark."""
    rows: list[Row] = []
    for latency, spread, in_flight, n, when in RUNS:
        flags = ("--in-flight", str(in_flight), "--warm-up", str(2 * in_flight), "--lag")
        with serving(latency, spread) as url:
            turns = in_turns(NAMES, url, sizes.of(n), sizes.pairs, *flags)
        rows += (share_row(turns, when) if latency else []) + lag_rows(turns, when)
    return rows


if __name__ == "__main__":
    command_line(__doc__, measure)
