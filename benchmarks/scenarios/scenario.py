"""One scenario in virtual time: a vendor, what is asked of it, what is to come out, what does."""

from __future__ import annotations

import asyncio
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from headrace.core.errors import NoRouteError
from headrace.testing.simulation import Report, Send, Terms, Vendor, one, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE: Final = 60.0
NANOS: Final = 1e9
REFUSED: Final = 429
OK: Final = 200
# Minutes of a clock begin when they do, and not with our first request.
PHASE: Final = 17.25
# So many times the seconds that were to be enough are waited for the end.
PATIENCE: Final = 4.0
# In the tests so many seconds after the end all that counts has been answered.
SOON: Final = 15.0
# Seconds' worth of prompts where a burst may be as large as what a minute allows.
BURST: Final = 75.0

# What was found, by the names of FORMS; None is what could not be found.
Figures: TypeAlias = dict[str, float | None]
# From when on 429s count as late, in seconds.
Moment: TypeAlias = "float | Callable[[Report], float]"

FORMS: Final[dict[str, Callable[[float], str]]] = {
    "used": "{:.1%}".format,
    "429s": "{:.0f}".format,
    "429s of all": "{:.2%}".format,
    "late 429s": "{:.0f}".format,
    "late 429s of all": "{:.2%}".format,
    "90 % after": "{:.1f} s".format,
    "most in 60 s": "{:.1%}".format,
    "largest waits": "{:.2f}x".format,
    "tail": "{:.1f} s".format,
    "p99.5": "{:.1f} s".format,
    "p99.5 without": "{:.1f} s".format,
    "copies": "{:.2%}".format,
    "lost": "{:.0f}".format,
    "throughput": "{:.1f}x".format,
    "in flight": "{:.1f}x".format,
    "sent in the outage": "{:.2f}x".format,
    "sent in all": "{:.2f}x".format,
    "probes": "{:.0f}".format,
    "other prompts": "{:.0%}".format,
    "loop late": "{:.2f} s".format,
    "stray sends": "{:.0f}".format,
    "200 at once": "{:.1f} latencies".format,
    "time of all": "{:.2f}x".format,
    "CPU a request": "{:.1f} us".format,
    "wall time": "{:.1f} s".format,
}


class Aim(NamedTuple):
    """A bound of one figure, as the issue of limits has it."""

    figure: str
    sign: str
    bound: float

    def is_met(self, figures: Figures) -> bool:
        """Is the figure there, and on the right side?"""
        found = figures.get(self.figure)
        if found is None:
            return False
        return found <= self.bound if self.sign == "≤" else found >= self.bound

    def __str__(self) -> str:
        """As it stands in the table."""
        return f"{self.figure} {self.sign} {FORMS[self.figure](self.bound)}"


def at_most(figure: str, bound: float) -> Aim:
    """No more than so much."""
    return Aim(figure, "≤", bound)


def at_least(figure: str, bound: float) -> Aim:
    """No less than so much."""
    return Aim(figure, "≥", bound)


class Asked:
    """The prompts of a run, and when each was drawn and what it costs where that is of interest."""

    def __init__(self, prompts: Iterable[object], count: int) -> None:
        self._prompts = prompts
        self.count = count
        self.drawn: list[float] = []

    def __iter__(self) -> Iterator[object]:
        """Draw them, and note when."""
        loop = asyncio.get_running_loop()
        for _, prompt in zip(range(self.count), self._prompts, strict=False):
            self.drawn.append(loop.time())
            yield prompt


class Scene(NamedTuple):
    """A run that is over."""

    scenario: Scenario
    end: float
    asked: Asked
    vendor: Vendor
    report: Report


def numbered() -> Iterator[object]:
    """Short prompts without end."""
    n = 0
    while True:
        yield f"p{n}"
        n += 1


def nothing(scene: Scene) -> Figures:
    """No other figures."""
    del scene
    return {}


@dataclass(frozen=True, kw_only=True)
class Measured(ABC):
    """Something with a name, figures, and aims for some of them."""

    name: str
    aims: tuple[Aim, ...]

    @abstractmethod
    def run(self, *, small: bool = False) -> Figures:
        """What it shows; ``small`` takes as long as it has to, and no longer."""

    def missed(self, figures: Figures) -> list[str]:
        """The figures whose aims are not met."""
        return [aim.figure for aim in self.aims if not aim.is_met(figures)]


@dataclass(frozen=True, kw_only=True)
class Scenario(Measured):
    """``limit`` a minute is what ``used`` is measured against, from ``start`` to ``end`` seconds.

    ``small_end``: the end in the tests. ``each``: what one prompt costs on average; there are as
    many as would take until the end and ``spare`` seconds more. ``late``: from when on 429s are
    late. ``since``: from when on 90 % of the limit is waited for. ``more``: further figures.
    All dice, the vendor's and the engine's, fall by the ``seed``.
    """

    terms: Terms | Mapping[float, Terms]
    limit: float
    start: float = 0.0
    end: float = 180.0
    small_end: float = 0.0
    spare: float = 20.0
    each: float = 1.0
    late: Moment = 0.0
    since: float = 0.0
    cost: Callable[[Send], float] = one
    prompts: Callable[[], Iterable[object]] = numbered
    options: Mapping[str, Any] = field(default_factory=dict)
    more: Callable[[Scene], Figures] = nothing
    seed: int = 7

    @property
    def base(self) -> Terms:
        """The terms that it begins with."""
        return self.terms if isinstance(self.terms, Terms) else self.terms[0.0]

    def run(self, *, small: bool = False) -> Figures:
        """See ``Measured``."""
        began = time.perf_counter()
        scene = self.played(small=small)
        wall = time.perf_counter() - began
        return _figures(scene) | self.more(scene) | {"wall time": wall}

    def played(self, *, small: bool = False) -> Scene:
        """The run behind it."""
        end = self.small_end if small and self.small_end else self.end
        count = math.ceil(self.limit * (end + self.spare) / MINUTE / self.each)
        asked = Asked(self.prompts(), count)
        is_cut = small and all(aim.figure != "lost" for aim in self.aims)
        vendor = self.pushed(asked, end + SOON if is_cut else end * PATIENCE)
        return Scene(self, end, asked, vendor, Report(vendor.sends, self.cost))

    def pushed(self, asked: Asked, seconds: float) -> Vendor:
        """Ask a vendor until all is answered or so many seconds are over."""
        vendor = Vendor(self.terms, seed=self.seed, phase=PHASE)
        # A run that stops since no route is left is told by what is lost.
        with suppress(NoRouteError):
            simulate(vendor, asked, seconds=seconds, chance=self.chance(), **self.options)
        return vendor

    def chance(self) -> Callable[[], float]:
        """The engine's dice, which fall the same each time."""
        return random.Random(self.seed).random  # noqa: S311 - no secret depends on them


def _figures(scene: Scene) -> Figures:
    scenario, report = scene.scenario, scene.report
    late = scenario.late if isinstance(scenario.late, float) else scenario.late(report)
    refused = [send.at for send in report.sends if send.status == REFUSED]
    after = sum(at > late for at in refused)
    sent_after = sum(send.at > late for send in report.sends)
    reached = report.reaches(scenario.limit, since=scenario.since)
    answered = {send.prompt for send in report.sends if send.status == OK}
    lost = scene.asked.count - len(answered)
    return {
        "used": report.share(scenario.limit, scenario.start, scene.end),
        "429s": len(refused),
        "429s of all": len(refused) / max(1, len(report.sends)),
        "late 429s": after,
        "late 429s of all": after / max(1, sent_after),
        "90 % after": None if reached is None else reached - scenario.since,
        "most in 60 s": report.most() / scenario.limit,
        "tail": None if lost else report.tail(),
        "lost": lost,
    }


def after_replies(number: int, since: float = 0.0) -> Callable[[Report], float]:
    """When that many replies had come to requests after ``since``."""

    def moment(report: Report) -> float:
        ends = sorted(send.ended for send in report.sends if send.ended is not None)
        later = [end for end in ends if end >= since]
        return later[number - 1] if len(later) >= number else math.inf

    return moment


def waits_of(tokens: int) -> Callable[[Scene], Figures]:
    """How long prompts of so many tokens waited, against their fair share of the limit.

    Fair is the time that the limit needs for them and for all that was asked before them and not
    sent yet; each wait is divided by that, and the worst counts.
    """

    def waits(scene: Scene) -> Figures:
        sent = {send.prompt: send for send in reversed(scene.report.sends) if send.status == OK}
        first = min(scene.asked.drawn, default=0)
        return {"largest waits": max(_waits(scene, sent, tokens, first), default=None)}

    return waits


def _waits(scene: Scene, sent: Mapping[str, Send], tokens: int, first: float) -> Iterator[float]:
    """One for each large prompt; prompts are named by their numbers."""
    cost, rate = scene.scenario.cost, scene.scenario.limit / MINUTE
    sends = [sent.get(f"p{n}") for n in range(len(scene.asked.drawn))]
    for n, send in enumerate(sends):
        if send is None or cost(send) < tokens:
            continue
        drawn = scene.asked.drawn[n] - first
        ahead = sum(cost(each) for each in sends[:n] if each is not None and each.at > drawn)
        yield (send.at - drawn) / ((cost(send) + ahead) / rate)
