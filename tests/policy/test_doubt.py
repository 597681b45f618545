"""Refusals that do not become fewer when less is sent."""

from __future__ import annotations

import random

from headrace.policy.doubt import CUTS, Doubt


def play(doubt: Doubt, taken: float, answers: int, seed: int = 1) -> bool:
    """An epoch in which such a part is taken, until so many are; is the next cut of use?"""
    dice = random.Random(seed)
    while answers:
        if dice.random() < taken:
            doubt.answer()
            answers -= 1
        else:
            doubt.refuse()
    return doubt.storm(600.0, 64.0)


def test_a_limit_is_never_doubted() -> None:
    """Ten times too fast: with each cut a larger part of it is taken."""
    doubt, rate = Doubt(), 10.0
    while rate > 1.05:
        assert play(doubt, 1 / rate, 20)
        rate *= 0.9


def test_an_outage_is_no_reason_to_go_on() -> None:
    doubt = Doubt()
    assert all(play(doubt, 0.05, 1, n) for n in range(30))


def test_dice_are_found_out_and_what_was_before_is_known() -> None:
    doubt = Doubt()
    useful = [play(doubt, 0.9, 12, n) for n in range(3 * CUTS)]
    assert useful[: CUTS - 1] == [True] * (CUTS - 1)
    assert not any(useful[CUTS + 2 :])
    assert doubt.before == (600.0, 64.0)


def test_rare_storms_are_no_series() -> None:
    doubt = Doubt()
    assert all(play(doubt, 0.99, 150, n) for n in range(30))
