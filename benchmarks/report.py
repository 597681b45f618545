"""Running contenders in turns, medians over pairs, and the Markdown table that comes out."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from os import cpu_count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks.measure import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAIRS = 5
# What stands around the figures in a page.
MARK = "figures"
PATIENCE = 1_200
LIBRARIES = ("aiohttp", "lm-deluge", "async-batch-llm", "openai", "litellm")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much to measure: all of it, or with ``quick`` a tenth in fewer pairs."""

    quick: bool = False

    @property
    def pairs(self) -> int:
        """How many pairs."""
        return 2 if self.quick else PAIRS

    def of(self, count: int) -> int:
        """``count`` prompts, or fewer."""
        return max(1, count // 10) if self.quick else count


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``met`` is None where there is no target."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None
    command: str = ""

    def line(self) -> str:
        """The row in Markdown."""
        verdict = {None: "", True: "met", False: "**missed**"}[self.met]
        command = f"`{self.command}`" if self.command else ""
        return f"| {self.what} | {self.figure} | {self.target} | {verdict} | {command} |"


def at_most(what: str, figure: float, limit: float, unit: str, command: str) -> Row:
    """A row whose figure should not exceed ``limit``."""
    return Row(what, f"{figure:.2f}{unit}", f"≤ {limit:g}{unit}", figure <= limit, command)


@dataclass(slots=True)
class Turns:
    """The figures of contenders that ran in turns, or why one of them could not."""

    seen: dict[str, list[Figures]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """Were all of these measured?"""
        return all(name in self.seen and name not in self.absent for name in names)

    def ratio(self, name: str, base: str, of: Callable[[Figures], float]) -> float:
        """The median over the pairs of ``name``'s value divided by ``base``'s."""
        pairs = zip(self.seen[name], self.seen[base], strict=True)
        return median(of(one) / of(other) for one, other in pairs)

    def middle(self, name: str, of: Callable[[Figures], float]) -> float:
        """The median of ``name``'s value."""
        return median(of(figures) for figures in self.seen[name])


def cpu(figures: Figures) -> float:
    """For ``Turns.ratio``: seconds of CPU."""
    return figures.cpu


def wall(figures: Figures) -> float:
    """For ``Turns.ratio``: seconds of wall time."""
    return figures.wall


def told_by_child(*command: str) -> dict[str, Any]:
    """The JSON object in the last line that ``python -m command`` prints; {"absent": …} if none."""
    line = [sys.executable, "-m", *command]
    try:
        run = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {"absent": f"failed: not done after {PATIENCE} s"}
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if run.returncode or not lines:
        last = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
        return {"absent": f"failed: {last[0]}"}
    told: dict[str, Any] = orjson.loads(lines[-1])
    return told


def contend(name: str, url: str, n: int, *flags: str) -> Figures | str:
    """Run one contender in a fresh process; a string says why there are no figures."""
    told = told_by_child("benchmarks.contenders", name, "--url", url, "--n", str(n), *flags)
    if "absent" in told:
        return str(told["absent"])
    figures = Figures(**told)
    if figures.answered != n:
        return f"failed: {figures.answered} of {n} answered"
    say(f"{name:24} {figures.micros:9.1f} us CPU/request {n / figures.wall:9.0f}/s")
    return figures


def in_turns(names: Sequence[str], url: str, n: int, pairs: int, *flags: str) -> Turns:
    """A B A B …: each of ``names`` in a fresh process, ``pairs`` times over."""
    turns = Turns()
    for _ in range(pairs):
        for name in names:
            if name in turns.absent:
                continue
            told = contend(name, url, n, *flags)
            if isinstance(told, Figures):
                turns.seen.setdefault(name, []).append(told)
            else:
                turns.absent[name] = told
                say(f"{name:24} {told}")
    return turns


def absent_row(name: str, why: str, command: str) -> Row:
    """A contender without figures stands in the table too."""
    return Row(name, f"absent ({why})", command=command)


def say(line: str) -> None:
    """Tell on stderr how far it is; the table alone goes to stdout."""
    print(line, file=sys.stderr, flush=True)


def machine() -> str:
    """What it ran on."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"{cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        + ", ".join(found)
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    head = f"{machine()}\n\n| what | figure | aim | | command |\n|---|---|---|---|---|\n"
    return head + "\n".join(row.line() for row in rows) + "\n"


def put_into(page: str, figures: str, mark: str = MARK) -> str:
    """``page`` with ``figures`` between its marks of this name."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        msg = f"the page has no {begin} … {end}"
        raise ValueError(msg)
    return f"{before}{begin}\n\n{figures}\n{end}{after}"


def command_line(about: str | None, measure: Callable[[Sizes], list[Row]]) -> None:
    """The ``main`` of every benchmark: a table at the end, in a page with ``--write``."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="a tenth of the prompts, two pairs")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    given = parser.parse_args()
    figures = table(measure(Sizes(given.quick)))
    print(figures)
    if given.write is not None:
        page = given.write.read_text(encoding="utf-8")
        given.write.write_text(put_into(page, figures), encoding="utf-8")
