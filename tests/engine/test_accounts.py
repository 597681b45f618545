"""Keys that replies show to be of one account share what they were told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from headrace import Model
from headrace.core.model import KeySource
from headrace.core.secret import Secret
from headrace.engine import health
from headrace.engine.admission import Permit
from headrace.engine.limits import Scope
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import Concurrency
from headrace.policy.buckets import MINUTE, SECOND
from headrace.policy.cost import ONE
from headrace.registry.resolve import OWN, Place, routes
from headrace.wire.limits import read_limits

if TYPE_CHECKING:
    from headrace.engine.account import Met

NOW: Final = 1_000 * SECOND
PATIENCE: Final = 900 * SECOND
ALLOWED: Final = 600
KEYS: Final = ("sk-one", "sk-two", "sk-three")


def keyed(**row: object) -> list[RouteState]:
    """Three keys of one model."""
    sources = tuple(KeySource(secret=Secret(key)) for key in KEYS)
    place = Place(base_url="http://127.0.0.1:1/v1", api_keys=sources)
    client = Scope("client", concurrency=Concurrency(1_000_000, stated=True), limits={})
    model = Model(id="openai/m", **row)  # type: ignore[arg-type]  # rows of tests are of any kind
    met: Met = {}
    found = routes(model, place, OWN, lambda _: None)
    return [RouteState(route, client, met=met) for route in found]


def send(state: RouteState, now: int, count: int = 1) -> list[Permit]:
    permits = []
    for _ in range(count):
        state.take(now, ONE)
        permits.append(Permit(state, ONE, now))
    return permits


def tell(
    permit: Permit, now: int, left: int, account: str | None = "org-ours", limit: int = ALLOWED
) -> None:
    headers = {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(left),
        "x-ratelimit-reset-requests": "60s",
    }
    if account is not None:
        headers["openai-organization"] = account
    permit.leave(now, None)
    permit.state.hear(read_limits(headers), permit, now, PATIENCE)


def used(state: RouteState, now: int) -> float:
    [(_, limit)] = state.limits
    return limit.used(now) or 0.0


def test_what_two_keys_have_sent_counts_together_from_the_second_reply_on() -> None:
    one, two, _ = keyed()
    mine, theirs = send(one, NOW, 20), send(two, NOW, 30)
    tell(mine[0], NOW + SECOND, ALLOWED - 50)
    tell(theirs[0], NOW + SECOND, ALLOWED - 50)
    assert one.account is two.account
    assert one.limits == two.limits
    # What was sent with the request that first brought the news is counted from there on.
    before, later = used(one, NOW + SECOND), NOW + 10 * SECOND
    assert before == 19 + 29
    more = send(one, later)
    assert two.wait(later, ONE) == one.wait(later, ONE) > 0
    more += send(two, later + SECOND)
    assert used(one, later + SECOND) == used(two, later + SECOND) == before + 2
    for permit in (*mine[1:], *theirs[1:], *more):
        permit.leave(later + SECOND, None)
    assert [state.in_flight for state in (one, two)] == [0, 0]
    assert [state.own.in_flight for state in (one, two)] == [0, 0]
    assert one.scopes[0].in_flight == 0


def test_none_is_sent_by_one_key_beyond_what_the_other_has_left() -> None:
    one, two, _ = keyed()
    for key in (one, two):
        tell(send(key, NOW)[0], NOW + SECOND // 10, ALLOWED - 2)
    sent, now = 0, NOW + SECOND
    while now < NOW + MINUTE:
        for key in (one, two):
            if key.wait(now, ONE) <= 0:
                send(key, now)
                sent += 1
        now += SECOND // 100
    assert ALLOWED * 0.95 <= sent <= ALLOWED


def test_what_one_key_had_sent_is_not_taken_for_that_of_strangers() -> None:
    """A key that is first used when the other has used up half of what there is."""
    one, two, _ = keyed()
    tell(send(one, NOW)[0], NOW + SECOND, ALLOWED - 1)
    for n in range(300):
        send(one, NOW + SECOND + n * SECOND // 10)
    now = NOW + 32 * SECOND
    tell(send(two, now)[0], now + SECOND, ALLOWED - 302)
    assert one.account is two.account
    [(_, limit)] = two.limits
    assert limit.wait(now + SECOND, 290.0) < MINUTE // 2
    assert limit.wait(now + SECOND, 310.0) > 0


def test_replies_to_what_was_sent_before_the_keys_met_do_not_count_it_twice() -> None:
    one, two, _ = keyed()
    for key in (one, two):
        tell(send(key, NOW)[0], NOW + SECOND // 10, ALLOWED - 2, account=None)
    for n in range(1, 199):
        send(one, NOW + n * SECOND // 10)
        send(two, NOW + n * SECOND // 10)
    now = NOW + 20 * SECOND
    mine, theirs = send(one, now), send(two, now)
    [late] = send(one, now + SECOND // 10)
    tell(theirs[0], now + SECOND, ALLOWED - 400)
    tell(mine[0], now + SECOND, ALLOWED - 400)
    assert one.account is two.account
    [(_, limit)] = two.limits
    before = limit.wait(now + SECOND, 190.0)
    tell(late, now + SECOND, ALLOWED - 401)
    assert limit.wait(now + SECOND, 190.0) == before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("org-ours", 600), ("org-theirs", 600)),
        (("org-ours", 600), ("org-ours", 300)),  # a project with less than the whole
        ((None, 600), (None, 600)),
        (("org-ours", 600), (None, 600)),
    ],
)
def test_keys_that_are_not_known_to_be_of_one_account_have_limits_of_their_own(
    first: tuple[str | None, int], second: tuple[str | None, int]
) -> None:
    one, two, _ = keyed()
    tell(send(one, NOW)[0], NOW + SECOND, 10, *first)
    tell(send(two, NOW)[0], NOW + SECOND, 10, *second)
    assert one.account is not two.account


def test_keys_whose_limits_were_told_differently_at_first_are_joined_when_they_agree() -> None:
    one, two, three = keyed()
    tell(send(one, NOW)[0], NOW + SECOND, 10, limit=300)
    tell(send(two, NOW)[0], NOW + SECOND, 10)
    tell(send(three, NOW)[0], NOW + SECOND, 10, limit=300)
    assert one.account is three.account is not two.account
    now = NOW + 2 * SECOND
    tell(send(two, now)[0], now + SECOND, 10, limit=300)
    assert one.account is two.account
    assert {id(state) for state in one.account.routes} == {id(state) for state in (one, two, three)}


def test_what_the_row_says_of_accounts_counts_whatever_the_server_says() -> None:
    one, two, _ = keyed(account="ours")
    tell(send(one, NOW)[0], NOW + SECOND, 10)
    tell(send(two, NOW)[0], NOW + SECOND, 10)
    assert one.account is not two.account  # here nobody has put them together


def test_a_key_whose_account_changes_is_left_alone() -> None:
    """It was replaced, or a gateway has keys of several accounts behind it."""
    one, two, _ = keyed()
    for key in (one, two):
        tell(send(key, NOW)[0], NOW + SECOND, 500)
    waits = send(two, NOW + 2 * SECOND)
    for n, account in enumerate(("org-theirs", "org-ours", "org-theirs", "org-ours"), start=3):
        now = NOW + n * SECOND
        tell(send(two, now)[0], now + SECOND // 2, 500, account)
        assert one.account is not two.account
        assert one.account.routes == [one]
    waits[0].leave(NOW + 9 * SECOND, None)
    assert two.in_flight == two.own.in_flight == 0


def test_an_alone_key_whose_account_changes_keeps_what_it_was_told() -> None:
    one, two, _ = keyed()
    tell(send(one, NOW)[0], NOW + SECOND // 2, 500)
    [limit] = one.limits
    for n, account in enumerate(("org-theirs", "org-ours"), start=1):
        now = NOW + n * SECOND
        tell(send(one, now)[0], now + SECOND // 2, 500, account)
    assert one.limits == (limit,)
    tell(send(two, NOW)[0], NOW + 4 * SECOND, 500)
    assert one.account is not two.account


def test_quiet_that_was_asked_of_the_newer_one_is_kept_by_both() -> None:
    one, two, _ = keyed()
    tell(send(one, NOW)[0], NOW + SECOND, 500)
    refused, answered = send(two, NOW, 2)
    assert health.park(refused, 30.0, NOW + SECOND, 0.5)
    tell(answered, NOW + SECOND, 500)
    assert one.account is two.account
    assert one.wait(NOW + 2 * SECOND, ONE) == 29 * SECOND


def test_a_used_up_day_closes_all_keys_and_opens_them_again() -> None:
    one, two, _ = keyed()
    for key in (one, two):
        tell(send(key, NOW)[0], NOW + SECOND, 500)
    words = {
        "openai-organization": "org-ours",
        "x-ratelimit-limit-requests-day": "14400",
        "x-ratelimit-reset-requests-day": "33011",
    }
    for n, (left, is_gone) in enumerate((("0", True), ("100", False)), start=2):
        now = NOW + n * SECOND
        [permit] = send(one, now)
        told = read_limits({**words, "x-ratelimit-remaining-requests-day": left})
        one.hear(told, permit, now + SECOND // 2, PATIENCE)
        assert [state.gone is not None for state in (one, two)] == [is_gone, is_gone]
