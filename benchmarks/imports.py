"""``import headrace`` against ``import aiohttp, pydantic``: CPU in fresh processes, in turns."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from benchmarks.report import Row, Sizes, absent_row, at_most, command_line, say

COMMAND = "python -m benchmarks.imports"
BASE, OURS = "import aiohttp, pydantic", "import headrace"
CODE = "import time; t = time.process_time(); {}; print(time.process_time() - t)"
PAIRS = 15


def seconds(statement: str) -> float:
    """CPU seconds of one import in a fresh process; CalledProcessError when it cannot be done."""
    command = [sys.executable, "-c", CODE.format(statement)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def measure(sizes: Sizes) -> list[Row]:
    """The one row of this benchmark."""
    try:
        seconds(BASE), seconds(OURS)  # writes what is compiled, so that all later ones find it
    except subprocess.CalledProcessError as error:
        return [absent_row(OURS, error.stderr.strip().splitlines()[-1], COMMAND)]
    pairs = [(seconds(OURS), seconds(BASE)) for _ in range(3 if sizes.quick else PAIRS)]
    ours, base = (median(side) * 1000 for side in zip(*pairs, strict=True))
    say(f"{OURS} {ours:.0f} ms, {BASE} {base:.0f} ms")
    ratio = median(one / other for one, other in pairs)
    return [at_most("`import headrace` against its parts", ratio, 1.25, "x", COMMAND)]


if __name__ == "__main__":
    command_line(__doc__, measure)
