"""Which model is drawn: by its weight, the same each time, never one without weight."""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.routing import draw, nearness

weights = st.lists(st.just(0.0) | st.floats(1e-3, 1e3), min_size=1, max_size=6)
GOLDEN = "12001202112222220221"
some = weights.filter(lambda w: sum(w) > 0)


def _digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


@given(some, st.binary(min_size=32, max_size=32), st.integers(0, 9), st.integers(-9, 9))
def test_a_draw_is_the_same_each_time_and_has_a_weight(
    ratio: list[float], digest: bytes, occurrence: int, seed: int
) -> None:
    drawn = draw(ratio, digest, occurrence, seed)
    assert ratio[drawn] > 0
    assert drawn == draw(tuple(ratio), digest, occurrence, seed)


@pytest.mark.parametrize(
    "ratio",
    [
        [1],
        [1, 1],
        [3, 1],
        [0, 1],
        [1, 0],
        [0, 2, 0, 5, 0],
        [0.1, 0.2, 0.7],
        [1e12, 1e12],
        [1e-9, 3e-9],
    ],
)
def test_many_draws_are_as_the_weights_say(ratio: list[float]) -> None:
    count = 8_000
    drawn = Counter(draw(ratio, _digest(i), 0, 0) for i in range(count))
    for index, weight in enumerate(ratio):
        share = weight / sum(ratio)
        # Five standard deviations; the digests are fixed, so this passes always or never.
        assert abs(drawn[index] - share * count) <= 5 * math.sqrt(share * (1 - share) * count)


def test_occurrence_seed_and_digest_draw_anew() -> None:
    base = [draw([1, 1], _digest(i), 0, 0) for i in range(200)]
    assert base != [draw([1, 1], _digest(i), 1, 0) for i in range(200)]
    assert base != [draw([1, 1], _digest(i), 0, 1) for i in range(200)]
    assert base != [draw([1, 1], _digest(i + 200), 0, 0) for i in range(200)]


def test_a_small_change_of_weights_moves_few_requests() -> None:
    before = [draw([5, 5], _digest(i), 0, 0) for i in range(4_000)]
    after = [draw([5.1, 4.9], _digest(i), 0, 0) for i in range(4_000)]
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    assert 0 < moved < 4_000 * 0.02


def test_one_that_is_left_without_weight_is_drawn_at_last() -> None:
    assert draw([0.0], _digest(1), 0, 0) == 0


def test_draws_of_this_version_stay_what_they_are() -> None:
    assert [draw([1, 2, 3], _digest(i), 0, 7) for i in range(20)] == [int(c) for c in GOLDEN]


@given(
    names=st.sets(st.text(min_size=1, max_size=8), min_size=2, max_size=8),
    opening=st.text(max_size=20),
)
def test_a_route_that_goes_changes_the_nearest_for_its_own_share_alone(
    names: set[str], opening: str
) -> None:
    nearest = max(names, key=lambda name: nearness(opening, name))
    for gone in names - {nearest}:
        left = names - {gone}
        assert max(left, key=lambda name: nearness(opening, name)) == nearest


def test_openings_are_spread_evenly() -> None:
    names = ["openai/m", "openai/m#2", "openai/m#3"]
    nearest = Counter(max(names, key=lambda name: nearness(str(n), name)) for n in range(3_000))
    assert all(900 < count < 1_100 for count in nearest.values())
