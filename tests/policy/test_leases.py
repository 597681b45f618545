"""The book of shared limits: never above, evenly, in turn, and whatever becomes of whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.leases import (
    AHEAD,
    GRACE,
    LIFE,
    MINUTE,
    SECOND,
    Ask,
    Book,
    Lease,
    Message,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

START: Final = 1_790_000_000 * SECOND
steps = st.one_of(
    st.integers(0, SECOND // 10),
    st.integers(0, 2 * SECOND),
    st.sampled_from([20 * SECOND, 59 * SECOND, MINUTE, MINUTE + SECOND, 3 * MINUTE]),
)
plans = st.lists(
    st.tuples(steps, st.sampled_from("abcd"), st.integers(0, 25), st.integers(0, 60)),
    min_size=1,
    max_size=80,
)


def asked(
    book: Book, member: str, now: int, *, limit: float = 600, name: str = "r", **wish: Any
) -> Lease:
    """One step about a limit of so much a minute."""
    ask = Ask(name, limit, MINUTE, **wish)
    return book.exchange(Message(member, {"s": (ask,)}), now).leases["s"]


def most_in_a_minute(spent: Iterable[tuple[int, int]]) -> int:
    moments = sorted(spent)
    return max(sum(n for at, n in moments if begin <= at < begin + MINUTE) for begin, _ in moments)


@given(st.integers(5, 600), plans, st.randoms(use_true_random=False))
def test_no_sixty_seconds_see_more_whenever_in_its_life_a_lease_is_spent(
    limit: int, plan: list[tuple[int, str, int, int]], dice: random.Random
) -> None:
    roll = dice.random
    book, now, spent = Book(), START, list[tuple[int, int]]()
    back: tuple[tuple[int, int], ...] = ()
    for step, member, need, most in plan:
        now += step
        returned, back, least = back, (), min(need, limit)
        lease = asked(book, member, now, limit=limit, need=least, most=most, returned=returned)
        if lease.amounts and lease.amounts[0]:
            assert lease.amounts[0] >= least
            assert 0 <= lease.delay <= AHEAD
            # At the worst moments: as late as may be, or at once. Some is not used.
            used = round(lease.amounts[0] * min(1.0, 1.5 * roll()))
            spent.append((now + lease.delay + (LIFE if roll() < 0.5 else 0), used))
            back = ((lease.stamps[0], lease.amounts[0] - used),)
    if spent:
        assert most_in_a_minute(spent) <= limit


@given(plans)
def test_a_book_that_is_written_down_each_time_says_the_same(
    plan: list[tuple[int, str, int, int]],
) -> None:
    book, again, now = Book(), Book(), START
    for step, member, need, most in plan:
        now += step
        lease = asked(book, member, now, need=need, most=most)
        assert asked(again, member, now, need=need, most=most) == lease
        again = Book(orjson.loads(orjson.dumps(again.plain())))


def test_who_always_asks_gets_98_percent_of_it_evenly() -> None:
    book, now, got = Book(), START, list[tuple[int, int]]()
    while now < START + 3 * MINUTE:
        lease = asked(book, "a", now, limit=6_000, need=1, most=100)
        if lease.amounts:
            assert lease.amounts[0] <= 10
            got.append((now + lease.delay, lease.amounts[0]))
        now += max(lease.wait, SECOND // 50)
    assert sum(n for _, n in got) >= 0.98 * 18_000
    for begin, _ in got:
        within = sum(n for at, n in got if begin <= at < begin + SECOND)
        assert within <= 110


def test_what_is_returned_is_lent_again_and_what_is_owed_is_paid() -> None:
    book = Book()
    lease = asked(book, "a", START, need=600)
    assert lease.amounts == (600,)
    full = START + MINUTE // 2
    assert asked(book, "b", full, need=1).wait
    assert asked(book, "a", full, returned=((lease.stamps[0], 590),)) == Lease()
    assert asked(book, "b", full + SECOND // 10, need=1).amounts == (1,)
    # Twice, more than was lent, or of long ago: nothing comes of nothing.
    asked(book, "a", full, returned=((lease.stamps[0], 10_000), (5, 10)))
    asked(book, "c", full, owed=595)
    later = full + SECOND // 2
    assert asked(book, "b", later, need=5).wait


def test_several_limits_are_lent_together_or_not_at_all() -> None:
    book = Book()
    many = Ask("requests", 600, MINUTE, need=1, most=5)
    first = Message("a", {"s": (many, Ask("tokens", 1_000, MINUTE, need=900))})
    assert book.exchange(first, START).leases["s"].amounts == (1, 900)
    second = Message("b", {"s": (many, Ask("tokens", 1_000, MINUTE, need=200))})
    assert book.exchange(second, START + SECOND).leases["s"].amounts == ()
    third = Message("b", {"s": (many, Ask("tokens", 1_000, MINUTE, need=100))})
    # It waits for the pace of the tokens, too: 900 of 1,000 take most of a minute.
    assert book.exchange(third, START + 2 * SECOND).leases["s"].wait
    assert book.exchange(third, START + 55 * SECOND).leases["s"].amounts == (1, 100)


def test_a_large_prompt_is_not_passed_by_small_ones_of_others() -> None:
    book, now = Book(), START
    assert asked(book, "a", now, need=500).amounts == (500,)
    now += 50 * SECOND  # the pace has room again, and the minute has not
    assert asked(book, "large", now, need=400).wait
    while True:
        now += SECOND // 20
        assert asked(book, "small", now, need=1).wait, "it has passed"
        if lease := asked(book, "large", now, need=400).amounts:
            break
    assert lease == (400,)
    assert now - START < MINUTE + 2 * SECOND


def test_who_stands_in_line_and_does_not_come_back_is_waited_for_no_longer() -> None:
    book = Book()
    asked(book, "a", START, need=500)
    now = START + 50 * SECOND
    wait = asked(book, "dead", now, need=400).wait
    assert asked(book, "b", now + wait, need=1).wait
    assert asked(book, "b", now + wait + GRACE, need=1).amounts == (1,)


def test_who_wants_nothing_any_more_leaves_the_line() -> None:
    book = Book()
    asked(book, "a", START, need=500)
    now = START + 51 * SECOND
    asked(book, "gone", now, need=400)
    asked(book, "gone", now)
    assert asked(book, "b", now, need=1).amounts == (1,)


def test_those_who_wait_are_served_in_turn() -> None:
    book, now, got = Book(), START, dict.fromkeys("abcd", 0)
    due = dict.fromkeys("abcd", START)
    while now < START + MINUTE // 2:
        who = min(due, key=due.__getitem__)
        now = due[who]
        lease = asked(book, who, now, limit=6_000, need=1, most=50)
        got[who] += sum(lease.amounts)
        due[who] = now + max(lease.wait, 1_000)
    assert min(got.values()) > 0.9 * max(got.values())
    assert sum(got.values()) > 0.97 * 3_000


def test_a_limit_of_a_day_goes_as_fast_as_one_likes() -> None:
    book, day = Book(), 1_440 * MINUTE
    ask = Ask("requests_per_day", 1_000, day, need=1_000)
    assert book.exchange(Message("a", {"s": (ask,)}), START).leases["s"] == Lease(
        0, 0, (1_000,), (START // ((day + LIFE + SECOND // 4) // 511),)
    )
    one = Ask("requests_per_day", 1_000, day, need=1)
    assert book.exchange(Message("b", {"s": (one,)}), START + day - MINUTE).leases["s"].wait
    after = START + day + MINUTE * 4
    assert book.exchange(Message("b", {"s": (one,)}), after).leases["s"].amounts == (1,)


def test_a_clock_that_is_set_back_takes_what_counts_along() -> None:
    book = Book()
    asked(book, "a", START, need=600)
    early = START - 3_600 * SECOND
    assert asked(book, "a", early, need=1).wait
    assert asked(book, "a", early + MINUTE // 2, need=1).wait
    assert asked(book, "a", early + MINUTE + 2 * SECOND, need=1).amounts == (1,)


def test_a_clock_that_stumbles_stands_still() -> None:
    book = Book()
    asked(book, "a", START, need=10)
    lease = asked(book, "a", START - SECOND // 2, need=10)
    assert lease.wait
    assert asked(book, "a", START + SECOND, need=10).amounts == (10,)


def test_marks_are_seen_by_all_until_they_end() -> None:
    book = Book()
    book.exchange(Message("a", quiet={"quiet x": 5 * SECOND}), START)
    book.exchange(Message("a", quiet={"quiet x": SECOND}), START)  # shorter: no news
    assert book.exchange(Message("b"), START + SECOND).quiet == {"quiet x": 4 * SECOND}
    assert book.exchange(Message("b"), START + 5 * SECOND).quiet == {}
    assert book.plain()["quiet"] == {}
