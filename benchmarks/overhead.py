"""CPU and wall time per request against the bare loop, at a server that answers at once.

The bare loop, headrace without and with a journal run in turns, each time in a fresh process
against one server process; a ratio is the median over pairs of neighbours. The peers are slower
and get fewer prompts, with bare runs of that size as their pairs.
"""

from __future__ import annotations

from benchmarks.report import (
    Row,
    Sizes,
    Turns,
    absent_row,
    at_most,
    command_line,
    cpu,
    in_turns,
    wall,
)
from benchmarks.server import serving, told_by

COMMAND = "python -m benchmarks.overhead"
PROMPTS = 20_000
# So many times as many pairs as elsewhere: these ratios are close to each other, and a machine that
# is shared has slow minutes.
PAIRS = 3
OURS = ("bare", "headrace", "headrace-journal", "headrace-stream")
PEERS = {
    "lm-deluge": 10_000,
    "async-batch-llm": 5_000,
    "async-batch-llm-journal": 5_000,
    "openai": 2_000,
    "litellm": 2_000,
}


def ours(turns: Turns) -> list[Row]:
    """headrace against the bare loop, and its journal against itself."""
    rows = [absent_row(name, why, COMMAND) for name, why in turns.absent.items()]
    if turns.has("bare"):
        micros = turns.middle("bare", lambda figures: figures.micros)
        rows.append(Row("bare loop, CPU per request", f"{micros:.0f} us", command=COMMAND))
    pairs = (
        ("CPU per request against bare", "headrace", "bare", cpu, 1.35),
        ("wall time against bare", "headrace", "bare", wall, None),
        ("CPU per request of `process_stream` against bare", "headrace-stream", "bare", cpu, 1.35),
        ("CPU with the journal against without", "headrace-journal", "headrace", cpu, 1.25),
        ("wall time with the journal against without", "headrace-journal", "headrace", wall, 1.3),
    )
    for what, name, base, of, limit in pairs:
        if turns.has(name, base):
            ratio = turns.ratio(name, base, of)
            rows.append(
                Row(what, f"{ratio:.2f}x", command=COMMAND)
                if limit is None
                else at_most(what, ratio, limit, "x", COMMAND)
            )
    return rows


def peer(name: str, turns: Turns) -> list[Row]:
    """One peer against the bare loop."""
    if not turns.has(name, "bare"):
        return [absent_row(name, turns.absent.get(name, "no bare run"), COMMAND)]
    of_cpu, of_wall = (turns.ratio(name, "bare", of) for of in (cpu, wall))
    figure = f"{of_cpu:.1f}x CPU, {of_wall:.1f}x wall"
    return [Row(f"{name} against bare", figure, command=COMMAND)]


def measure(sizes: Sizes) -> list[Row]:
    """All rows of this benchmark."""
    with serving() as url:
        rows = ours(in_turns(OURS, url, sizes.of(PROMPTS), PAIRS * sizes.pairs))
        seconds, arrivals = told_by(url)
        micros = seconds / len(arrivals) * 1e6
        rows.append(Row("the server itself, CPU per request", f"{micros:.0f} us", command=COMMAND))
        for name, count in PEERS.items():
            turns = in_turns(("bare", name), url, sizes.of(count), sizes.pairs)
            rows += peer(name, turns)
    return rows


if __name__ == "__main__":
    command_line(__doc__, measure)
