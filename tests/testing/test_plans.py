"""Plans: which request meets which fault."""

from __future__ import annotations

from collections import Counter

import pytest

from headrace.testing import RequestSeen, plans
from headrace.testing.faults import DropBefore, Fault, Status, limited


def seen(n: int, prompt: str = "hi", nth: int = 0) -> RequestSeen:
    return RequestSeen(n, nth, 0.0, prompt, "m", "openai", "/", 1, 0, None, {}, b'{"model": "m"}')


def test_a_sequence_follows_the_order_of_arrival() -> None:
    plan = plans.Sequence([Status(500), None, DropBefore()])
    assert [plan(seen(n)) for n in range(4)] == [Status(500), None, DropBefore(), None]


def test_random_faults_have_their_shares_and_repeat_with_the_seed() -> None:
    shares: dict[Fault, float] = {limited(1): 0.1, DropBefore(): 0.05}
    plan = plans.Random(7, shares)
    rows = [seen(n, f"prompt {n}") for n in range(20_000)]
    drawn = Counter(map(plan, rows))
    assert drawn[limited(1)] == pytest.approx(2_000, rel=0.1)
    assert drawn[DropBefore()] == pytest.approx(1_000, rel=0.15)
    assert Counter(map(plans.Random(7, shares), reversed(rows))) == drawn
    assert [plans.Random(8, shares)(row) for row in rows] != [plan(row) for row in rows]


def test_random_draws_anew_for_each_repetition() -> None:
    plan = plans.Random(1, {Status(500): 0.5})
    assert len({plan(seen(n, nth=n)) for n in range(20)}) == 2


@pytest.mark.parametrize("shares", [{Status(500): 1.1}, {Status(500): -0.1}])
def test_shares_are_parts_of_one(shares: dict[Fault, float]) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        plans.Random(1, shares)


def test_per_prompt_counts_each_prompt_by_itself() -> None:
    plan = plans.per_prompt([Status(500), None])
    assert [plan(seen(9, "a", nth)) for nth in range(3)] == [Status(500), None, None]
    named = plans.per_prompt({"a": [DropBefore()]})
    assert named(seen(0, "a")) == DropBefore()
    assert named(seen(0, "b")) is None


def test_a_seen_request_reads_its_body_and_hides_its_key() -> None:
    row = RequestSeen(0, 0, 0.0, "hi", "m", "openai", "/", 1, 0, "sk-1", {}, b'{"model": "m"}')
    assert row.json == {"model": "m"}
    assert row.scope == ("sk-1", "m")
    assert "sk-1" not in repr(row)
