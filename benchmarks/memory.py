"""Peak memory a prompt beyond the prompts, for lists and for streams.

A list: the peak of a fresh process from the moment when its prompts are built and ten of them are
answered until the run's results are counted, results held, 400-character answers. A stream:
the resident size when 10 %, 50 % and 100 % of the prompts have been drawn from their generator.
"""

from __future__ import annotations

from statistics import median

from benchmarks.measure import Figures
from benchmarks.report import Row, Sizes, absent_row, command_line, contend, in_turns
from benchmarks.server import serving

COMMAND = "python -m benchmarks.memory"
LISTS = {
    1_000: ("bare", "headrace"),
    10_000: ("bare", "headrace", "lm-deluge"),
    100_000: ("bare", "headrace"),
}
STREAMS = (100_000, 1_000_000)
LIMIT = 1_800
FLAT = 1.05


def lists(url: str, sizes: Sizes) -> list[Row]:
    """Bytes a prompt at each size; only the largest has a target."""
    rows = []
    for count, names in LISTS.items():
        n = sizes.of(count)
        turns = in_turns(names, url, n, sizes.pairs, "--warm-up", "10")
        rows += [absent_row(name, why, COMMAND) for name, why in turns.absent.items()]
        grown = {name: median(f.grown for f in seen) for name, seen in turns.seen.items()}
        for name, size in grown.items():
            aimed = name == "headrace" and n == max(LISTS)
            target, met = ("≤ 1.8 kB", size <= LIMIT) if aimed else ("", None)
            what = f"{name}: peak memory a prompt, {n:,} in a list"
            figure = f"{size / 1000:.2f} kB ({size / grown['bare']:.2f}x bare)"
            rows.append(Row(what, figure, target, met, COMMAND))
    return rows


def stream(url: str, n: int) -> Row:
    """Is ``process_stream`` flat from a tenth of the way to the end?"""
    told = contend("headrace-stream", url, n, "--lazy")
    if not isinstance(told, Figures):
        return absent_row("headrace-stream", told, COMMAND)
    sizes = " / ".join(f"{kib / 1024:.1f}" for kib in told.marks)
    growth = told.marks[-1] / told.marks[0]
    what = f"process_stream over {n:,}: MB at 10 % / 50 % / 100 %"
    return Row(what, f"{sizes} ({growth:.2f}x)", f"flat (≤ {FLAT}x)", growth <= FLAT, COMMAND)


def measure(sizes: Sizes) -> list[Row]:
    """All rows of this benchmark."""
    with serving() as url:
        return lists(url, sizes) + [stream(url, sizes.of(n)) for n in STREAMS]


if __name__ == "__main__":
    command_line(__doc__, measure)
