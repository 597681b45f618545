"""Slow answers, hedged: how long the slowest take beside the same without, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from benchmarks.scenarios.scenario import OK, Scenario, at_most
from headrace.testing.simulation import Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.scenarios.scenario import Figures, Scene

PER_MINUTE: Final = 1_200
STATED: Final = {"max_requests_per_minute": PER_MINUTE, "max_concurrent_requests": 1_000}
# Most answers take from half a second to some seconds, by what they have to say.
FINE: Final = Terms(first_token=0.4, per_token=0.01, output=100.0, spread=0.5)
# When it becomes ten times slower for everyone, and fine again.
SLOWER, FASTER = 60.0, 150.0


def p995(scene: Scene) -> float:
    """Seconds from the first send of a prompt to its answer, that one in two hundred exceeds."""
    began: dict[str, float] = {}
    took: dict[str, float] = {}
    for send in scene.report.sends:
        first = began.setdefault(send.prompt, send.at)
        if send.status == OK and send.ended is not None:
            took[send.prompt] = send.ended - first
    ordered = sorted(took.values())
    return ordered[int(0.995 * len(ordered))]


def beside(scene: Scene) -> Figures:
    """The same run without hedging, and the share of second copies in this one."""
    plain = replace(scene.scenario, options=STATED, end=scene.end).played()
    copies = len(scene.report.sends) - len({send.prompt for send in scene.report.sends})
    return {
        "p99.5": p995(scene),
        "p99.5 without": p995(plain),
        "copies": copies / len(scene.report.sends),
    }


def hedged(name: str, terms: Terms | Mapping[float, Terms], longest: float | None) -> Scenario:
    """Five copies in a hundred at most; ``longest``: seconds that 199 of 200 stay below."""
    aims = (at_most("copies", 0.05), at_most("lost", 0))
    return Scenario(
        name=f"hedged: {name}",
        terms=terms,
        limit=PER_MINUTE,
        end=180.0,
        aims=aims if longest is None else (*aims, at_most("p99.5", longest)),
        options={**STATED, "hedge": True},
        more=beside,
    )


HEDGING: Final = (
    hedged("1 % of the answers take 100 times as long", replace(FINE, slow=0.01), 7.0),
    hedged("5 % of the answers take 20 times as long", replace(FINE, slow=0.05, slow_times=20), 20),
    hedged(
        "ten times slower for everyone, for 90 s",
        {0.0: FINE, SLOWER: replace(FINE, first_token=4.0, per_token=0.1), FASTER: FINE},
        None,
    ),
)
