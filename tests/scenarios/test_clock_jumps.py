"""Our wall clock jumps, or is off, or the machine sleeps: limits are kept and used all the same."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace.testing import running_clock
from headrace.testing.clock import EPOCH
from headrace.testing.simulation import Report, Terms, Vendor, simulate
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

DAY: Final = 86_400
HOUR: Final = 3_600.0
PER_MINUTE: Final = 600
SECONDS: Final = 100.0
LONGER: Final = 240.0


class OfServer:
    """The vendor's own clock: it does not jump with ours, and is ``ahead`` of it."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead

    def now(self) -> int:
        return running_clock().now()

    def wall(self) -> float:
        return EPOCH + self.ahead + self.now() / 1e9 - 1_000


def terms(**more: Any) -> Terms:
    return Terms(requests_per_minute=PER_MINUTE, first_token=1.0, **more)


RULES: Final = {
    "stated": (terms(counting="sliding"), {"max_requests_per_minute": PER_MINUTE}),
    "told, resets are dates": (terms(counting="sliding", headers="anthropic"), {}),
    "told, resets are seconds": (terms(counting="minute", headers="openai"), {}),
    "found, minutes are counted": (terms(counting="minute", hints="seconds"), {}),
    "found, sliding": (terms(counting="sliding", hints=False), {}),
}


def played(
    name: str, between: Callable[[int], None], *, ahead: int = 0, seconds: float = SECONDS
) -> Report:
    """What a vendor saw; ``between`` is called with the number of each prompt that is drawn."""
    rule, options = RULES[name]

    def prompts() -> Iterator[str]:
        for n in count():
            between(n)
            yield f"p{n}"

    models = f"{rule.headers or 'openai'}/any"
    vendor = Vendor(rule, clock=OfServer(ahead))
    simulate(vendor, prompts(), models=models, seconds=seconds, **options)
    return Report(vendor.sends)


def sends(report: Report) -> list[tuple[str, float, int]]:
    return [(send.prompt, round(send.at, 6), send.status) for send in report.sends]


@pytest.mark.parametrize("seed", first_of(0, 1, 2))
@pytest.mark.parametrize("name", RULES)
def test_jumps_of_our_wall_clock_change_nothing(name: str, seed: int) -> None:
    dice = random.Random(seed)
    at = dict.fromkeys(dice.sample(range(1_000), 4))
    jumps = {n: dice.choice([HOUR, -HOUR, 3 * DAY, -3 * DAY, dice.uniform(-90, 90)]) for n in at}

    def jump(n: int) -> None:
        running_clock().epoch += jumps.get(n, 0.0)

    assert sends(played(name, jump)) == sends(played(name, lambda _: None))


@pytest.mark.parametrize("ahead", first_of(3 * DAY, -3_600, 7, -7))
@pytest.mark.parametrize("name", [name for name in RULES if name.startswith("told")])
def test_a_server_whose_clock_is_off_changes_nothing(name: str, ahead: int) -> None:
    off, right = (played(name, lambda _: None, ahead=by) for by in (ahead, 0))
    assert sends(off) == sends(right)


@pytest.mark.parametrize("asleep", first_of(HOUR, 20.0, 3 * DAY))
@pytest.mark.parametrize("name", RULES)
def test_after_a_sleep_of_the_machine_nothing_comes_in_a_herd(name: str, asleep: float) -> None:
    """All timers are late at once, and for a long one every minute is over."""

    def sleep(n: int) -> None:
        if n == 700:
            running_clock().advance(asleep)

    slept = played(name, sleep, seconds=asleep + LONGER)
    awake = played(name, lambda _: None, seconds=LONGER)
    if name == "stated":
        assert slept.most() <= PER_MINUTE
    # What is under way when a limit is met is refused, and little beside.
    crowd = max(send.in_flight for send in slept.sends)
    assert slept.refusals() <= 1.3 * max(awake.refusals(), crowd)
    assert slept.refusals() == 0 or name.startswith("found")
    # The last whole minute; when one begins is another matter after a sleep.
    used, usual = (report.share(PER_MINUTE, *last(report)) for report in (slept, awake))
    assert used >= 0.7 * min(usual, 1.0)


def last(report: Report) -> tuple[float, float]:
    """The last minute but for what may not have been answered."""
    end = report.sends[-1].at - 2
    return end - 60, end
