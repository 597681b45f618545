"""``import headrace`` against ``import aiohttp, pydantic``: CPU in fresh processes, in turns."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from benchmarks.report import Row, Sizes, absent_row, at_most, command_line, say

COMMAND = "python -m benchmarks.imports"
BASE = "import aiohttp, pydantic"
OURS = ("import headrace", "from headrace import LLMClient")
CODE = "import time; t = time.process_time(); {}; print(time.process_time() - t)"
PAIRS = 15


def seconds(statement: str) -> float:
    """CPU seconds of one import in a fresh process; CalledProcessError when it cannot be done."""
    command = [sys.executable, "-c", CODE.format(statement)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def row(ours: str, count: int) -> Row:
    """One statement against the base; the name that all the rest hangs on has no way to be lazy."""
    try:
        seconds(BASE), seconds(ours)  # writes what is compiled, so that all later ones find it
        pairs = [(seconds(ours), seconds(BASE)) for _ in range(count)]
    except subprocess.CalledProcessError as error:
        return absent_row(ours, error.stderr.strip().splitlines()[-1], COMMAND)
    mine, base = (median(side) * 1000 for side in zip(*pairs, strict=True))
    say(f"{ours} {mine:.0f} ms, {BASE} {base:.0f} ms")
    ratio = median(one / other for one, other in pairs)
    return at_most(f"`{ours}` against `{BASE}`", ratio, 1.25, "x", COMMAND)


def measure(sizes: Sizes) -> list[Row]:
    """The rows of this benchmark."""
    return [row(ours, 3 if sizes.quick else PAIRS) for ours in OURS]


if __name__ == "__main__":
    command_line(__doc__, measure)
