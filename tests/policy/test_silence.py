"""What was not refused for a while was accepted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.buckets import SECOND
from headrace.policy.silence import START, Silence


def test_what_was_sent_and_did_not_come_back_was_accepted() -> None:
    silence = Silence()
    silence.send(10 * SECOND)
    assert not silence.has_accepted(START, 9 * SECOND)
    assert silence.has_accepted(START, 11 * SECOND)


def test_what_was_sent_before_does_not_count() -> None:
    silence = Silence()
    silence.send(10 * SECOND)
    since = silence.moment
    assert not silence.has_accepted(since, 20 * SECOND)
    silence.send(15 * SECOND)
    assert silence.has_accepted(since, 20 * SECOND)


def test_where_all_came_back_nothing_was() -> None:
    silence = Silence()
    for n in range(5):
        silence.send(n * SECOND)
        silence.lose()
    assert not silence.has_accepted(START, 20 * SECOND)
    silence.send(6 * SECOND)
    assert silence.has_accepted(START, 20 * SECOND)


sends = st.lists(st.tuples(st.integers(0, 2 * SECOND), st.booleans()), max_size=80)


@given(sends, st.integers(0, 79), st.integers(0, 5 * SECOND))
def test_it_never_says_so_where_it_is_not(
    plan: list[tuple[int, bool]], first: int, ago: int
) -> None:
    silence, now, sent, since = Silence(), 0, list[tuple[int, bool]](), START
    for n, (step, lost) in enumerate(plan):
        now += step
        if n == first:
            since = silence.moment
        silence.send(now)
        if lost:
            silence.lose()
        sent.append((now, lost))
    counted = sent[first:] if first < len(sent) else []
    accepted = [at for at, lost in counted if not lost and at <= now - ago]
    if first < len(sent) and silence.has_accepted(since, now - ago):
        assert accepted
