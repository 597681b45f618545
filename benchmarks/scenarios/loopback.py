"""Some of the scenarios again, with real sockets: the same vendors behind a server on loopback.

Time is hurried, so that each takes seconds. A figure is a count, or a ratio of what the server saw
in one run, and so does not depend on how fast the machine is, as long as it keeps up: ``loop late``
is by how much the event loop was late, in hurried seconds, but for the worst twentieth.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, fields
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

from benchmarks.scenarios.changing import CHANGING
from benchmarks.scenarios.found import FINDING, at_once
from benchmarks.scenarios.known import KNOWN
from benchmarks.scenarios.scenario import NANOS, PHASE, Scenario
from benchmarks.scenarios.told import TOLD
from benchmarks.scenarios.trouble import TROUBLE
from headrace import LLMClient, NoRouteError
from headrace.testing import FakeServer, HurriedClock, run_hurried
from headrace.testing.clock import EPOCH
from headrace.testing.simulation import Vendor, served
from headrace.testing.simulation.run import push

if TYPE_CHECKING:
    from benchmarks.scenarios.scenario import Asked, Figures

OFTEN: Final = 0.2
# How many seconds of each take a real one. Where much is used to the last, an event loop that is
# late by some real milliseconds must not be late by a tenth of a hurried second.
AGAIN: Final = {
    "known: 600 requests, minute": 5,
    "known: 600 requests, sliding": 5,
    "known: 300,000 tokens, continuous": 5,
    "told: openai, 600 requests, minute, 1 s": 5,
    "told: openai, 600,000 tokens, sliding, 1 s": 10,
    "told: anthropic, 60 requests, sliding, 1 s": 20,
    "told: fireworks, 600 requests, continuous, 0.3 s": 10,
    "found: 600 requests, continuous, Retry-After": 10,
    "found: 600 requests, sliding, no hint": 10,
    "found: 20 at once, 4 s": 5,
    "found: knee at 20 at once, answers of all lengths": 5,
    "halved: 300 to 150 requests, minute, told by headers": 10,
    "halved: 300 to 150 requests, sliding, no headers": 10,
    "doubled: 300 to 600 requests, sliding, told by headers": 10,
    "doubled: 300 to 600 requests, continuous, no headers": 10,
    "output a tenth of max_tokens: tokens stated": 5,
    "outage of 60 s: 503": 10,
}


class Clock(HurriedClock):
    """Hurried, and its wall clock hurries as well: what a server tells may be a date."""

    __slots__ = ("_began",)

    def __init__(self, rate: int) -> None:
        super().__init__(rate)
        self._began = self.now()

    def wall(self) -> float:
        """Seconds since 1970, beginning as far into a minute as the vendor is."""
        return EPOCH + PHASE + (self.now() - self._began) / NANOS


@dataclass(frozen=True, kw_only=True)
class OnLoopback(Scenario):
    """A scenario whose vendor is a server; ``hurry`` of its seconds take one."""

    hurry: int
    lags: list[float] = field(default_factory=list, init=False, compare=False)

    def run(self, *, small: bool = False) -> Figures:
        """See ``Scenario``."""
        self.lags.clear()
        figures = super().run(small=small)
        return figures | {"loop late": quantiles(self.lags, n=20)[-1]}

    @property
    def twin(self) -> Scenario:
        """The same in virtual time."""
        return Scenario(**_given(self, Scenario))

    def pushed(self, asked: Asked, seconds: float) -> Vendor:
        """See ``Scenario``."""
        clock = Clock(self.hurry)
        vendor = Vendor(self.terms, seed=self.seed, phase=PHASE, clock=clock)
        with suppress(NoRouteError):
            run_hurried(self._push(vendor, asked, seconds, clock), clock)
        return vendor

    async def _push(self, vendor: Vendor, asked: Asked, seconds: float, clock: Clock) -> None:
        options: dict[str, Any] = {"models": "openai/any", "api_key": "sk-loopback"}
        async with FakeServer(faults=served(vendor), keep=0) as server:
            is_anthropic = self.base.headers == "anthropic"
            client = LLMClient(
                base_url=server.anthropic_url if is_anthropic else server.base_url,
                clock=clock,
                chance=self.chance(),
                **options | dict(self.options),
            )
            watching = asyncio.create_task(self._watch())
            await push(client, asked, seconds)
            watching.cancel()

    async def _watch(self) -> None:
        """Note how late the loop is, again and again."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + OFTEN
            await asyncio.sleep(OFTEN)
            self.lags.append(loop.time() - due)


def _given(row: Scenario, of: type[Scenario]) -> dict[str, Any]:
    return {each.name: getattr(row, each.name) for each in fields(of)}


def again(row: Scenario, hurry: int) -> OnLoopback:
    """A scenario once more, on loopback."""
    # An exchange takes more than the answer, and hurried that is much: more are right in flight.
    aims = tuple(aim for aim in row.aims if aim.figure != "in flight")
    given = _given(row, Scenario) | {"name": f"loopback: {row.name}", "aims": aims}
    return OnLoopback(**given, hurry=hurry)


LOOPBACK: Final = tuple(
    again(row, AGAIN[row.name])
    for row in (*KNOWN, *TOLD, *FINDING, at_once(20, 4.0), *CHANGING, *TROUBLE)
    if row.name in AGAIN
)
