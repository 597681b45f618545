"""Refusals that do not become fewer when less is sent."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest

from headrace.policy.buckets import MINUTE
from headrace.policy.doubt import CUTS, Doubt

if TYPE_CHECKING:
    from collections.abc import Callable


class Server:
    """Refuses a part of what is sent, which may depend on the level; each storm is a cut."""

    def __init__(self, share: Callable[[float], float], seed: int = 1) -> None:
        self.doubt = Doubt()
        self.share = share
        self.level, self.sent, self.now = 600.0, 0, 0
        self._dice = random.Random(seed)

    def storm(self, most: int = 10_000) -> bool:
        """Send until one is refused; is the next cut of use?"""
        for _ in range(most):
            self.sent += 1
            self.now += int(MINUTE / self.level)
            if self._dice.random() < self.share(self.level):
                break
        self.doubt.refuse(self.sent)
        is_useful = self.doubt.storm(self.now, self.sent, self.level, 64.0)
        self.level *= 0.9 if is_useful else 1.0
        return is_useful


def beyond(limit: float) -> Callable[[float], float]:
    return lambda level: max(0.0, 1 - limit / level)


@pytest.mark.parametrize("limit", [30.0, 150.0, 300.0, 550.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_limit_is_never_doubted(limit: float, seed: int) -> None:
    """With each cut a larger part of it is taken, until all of it is."""
    server = Server(beyond(limit), seed)
    while server.level > limit * 1.02:
        assert server.storm()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_met_again_where_it_was_met_before_is_a_limit(seed: int) -> None:
    server = Server(lambda _: 0.01, seed)
    for _ in range(50):
        assert server.storm()
        server.level = 600.0


def test_an_outage_is_no_reason_to_go_on() -> None:
    server = Server(lambda _: 0.95)
    assert all(server.storm() for _ in range(30))


@pytest.mark.parametrize("part", [0.001, 0.003, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_dice_are_found_out_and_what_was_before_is_known(part: float, seed: int) -> None:
    server = Server(lambda _: part, seed)
    storms = next(n for n in count() if not server.storm())
    assert CUTS <= storms < 5 * CUTS
    assert server.doubt.before[0] == 600.0
    assert not any(server.storm() for _ in range(200))


@pytest.mark.parametrize("seed", range(5))
def test_a_limit_below_what_was_restored_ends_the_doubt(seed: int) -> None:
    server = Server(lambda _: 0.02, seed)
    while server.storm():
        pass
    server.level = 600.0
    server.share = beyond(300.0)
    assert any(server.storm() for _ in range(40))


@pytest.mark.parametrize("seed", range(5))
def test_many_refusals_by_chance_are_known_as_well(seed: int) -> None:
    """A storm with each third request; the proportion takes more of them to be seen."""
    server = Server(lambda _: 0.35, seed)
    assert any(not server.storm() for _ in range(40))
    assert server.level > 50


def test_what_was_restored_in_vain_is_not_restored_again() -> None:
    server = Server(lambda _: 0.15)
    while server.storm():
        pass
    server.share = lambda level: 0.15 if level <= 60.0 else 0.9
    while not server.storm():
        pass
    server.level = 60.0
    for _ in range(200):
        if not server.storm():
            break
    assert server.doubt.is_sure
    assert server.doubt.before[0] <= 60.0
