"""Limits in virtual time: how much of what a vendor allows is used, and at what price.

Each scenario is a simulated vendor, what is asked of it, and the aims for what is to come out.
``--only NAME`` runs those whose names hold a text, ``--list`` names all, and with ``--seed`` the
dice fall otherwise.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.report import put_into, say
from benchmarks.scenarios import ALL, Scenario
from benchmarks.scenarios.scenario import FORMS, OK, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.scenarios import Figures, Measured

MARK: Final = "limits"
# Each has a column; what else was found stands in one for all.
COLUMNS: Final = (
    "used",
    "429s",
    "429s of all",
    "late 429s",
    "late 429s of all",
    "90 % after",
    "most in 60 s",
    "largest waits",
    "tail",
)
# Seconds of a line of a timeline.
STEP: Final = 5
QUIET: Final = ("lost", "wall time")


def written(name: str, figures: Figures) -> str:
    """One figure; empty where there is none."""
    found = figures.get(name)
    return "" if found is None else FORMS[name](found)


def line(scenario: Measured, figures: Figures) -> str:
    """One row of the table."""
    missed = scenario.missed(figures)
    others = [name for name in figures if name not in (*COLUMNS, *QUIET)]
    others += [name for name in QUIET if figures.get(name) and name in aimed(scenario)]
    more = ", ".join(f"{name} {written(name, figures)}" for name in dict.fromkeys(others))
    verdict = f"**missed**: {', '.join(missed)}" if missed else "met"
    cells = [written(name, figures) for name in COLUMNS]
    return " | ".join(
        ["| " + scenario.name, *cells, more, "; ".join(map(str, scenario.aims)), verdict + " |"]
    )


def aimed(scenario: Measured) -> set[str]:
    """The figures that it has aims for."""
    return {aim.figure for aim in scenario.aims}


def head() -> str:
    """The first two lines of the table."""
    names = ("scenario", *COLUMNS, "more", "aim", "")
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def lines(scenarios: Iterable[Measured], *, small: bool) -> Iterator[str]:
    """The rows, each as soon as it is there."""
    for scenario in scenarios:
        figures = scenario.run(small=small)
        say(f"{figures['wall time'] or 0:6.1f} s  {scenario.name}")
        yield line(scenario, figures)


def timeline(scenario: Scenario, *, small: bool) -> Iterator[str]:
    """What became of the requests that came in each five seconds."""
    scene = scenario.played(small=small)
    yield f"{scenario.name}\n   from   taken    429s  others    used in flight"
    last = max((send.at for send in scene.report.sends), default=0.0)
    for start in range(0, int(last) + 1, STEP):
        sends = [send for send in scene.report.sends if start <= send.at < start + STEP]
        taken, refused = (sum(send.status == status for send in sends) for status in (OK, REFUSED))
        most = max((send.in_flight for send in sends), default=0)
        used = scene.report.share(scenario.limit, start, start + STEP)
        others = len(sends) - taken - refused
        yield f"{start:5} s {taken:7} {refused:7} {others:7} {used:7.0%} {most:9}"


def given_of(
    arguments: list[str] | None, rows: tuple[Measured, ...], program: str
) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog=program)
    parser.add_argument("--only", action="append", metavar="NAME", help="those with this in a name")
    parser.add_argument("--list", action="store_true", help="name them")
    parser.add_argument("--timeline", action="store_true", help="how each goes, by five seconds")
    parser.add_argument("--quick", action="store_true", help="as short as the tests run them")
    parser.add_argument("--seed", type=int, help="of all dice (default 7)")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    given = parser.parse_args(arguments)
    given.chosen = [s for s in rows if not given.only or any(part in s.name for part in given.only)]
    if not given.chosen:
        parser.error(f"no scenario is named so; there are {'; '.join(s.name for s in rows)}")
    return given


def main(
    arguments: list[str] | None = None,
    *,
    rows: tuple[Measured, ...] = ALL,
    mark: str = MARK,
    program: str = "python -m benchmarks limits",
) -> None:
    """Run what the command line asks for, of ``rows``; ``mark`` is their place in a page."""
    given = given_of(arguments, rows, program)
    chosen: list[Measured] = given.chosen
    if given.seed is not None:
        chosen = [replace(s, seed=given.seed) if isinstance(s, Scenario) else s for s in chosen]
    if given.list:
        print("\n".join(scenario.name for scenario in chosen))
    elif given.timeline:
        for scenario in chosen:
            if isinstance(scenario, Scenario):
                print("\n".join(timeline(scenario, small=given.quick)))
    else:
        table(chosen, small=given.quick, page=given.write, mark=mark)


def table(chosen: list[Measured], *, small: bool, page: Path | None, mark: str) -> None:
    """Print it line by line, and put it into a page."""
    rows = [head()]
    print(rows[0], flush=True)
    for row in lines(chosen, small=small):
        print(row, flush=True)
        rows.append(row)
    if page is not None:
        written_before = page.read_text(encoding="utf-8")
        page.write_text(put_into(written_before, "\n".join(rows) + "\n", mark), encoding="utf-8")


if __name__ == "__main__":
    main()
