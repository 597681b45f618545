"""What a route makes of the limits in its replies' headers."""

from __future__ import annotations

from typing import Final

import pytest

from headrace import Model
from headrace.core.errors import QuotaError
from headrace.engine.admission import Permit
from headrace.engine.limits import Scope
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import Concurrency
from headrace.policy.buckets import MINUTE, SECOND
from headrace.policy.cost import ONE, cost
from headrace.registry.resolve import Place, route
from headrace.wire.limits import read_limits

NOW: Final = 1_000 * SECOND
PATIENCE: Final = 900 * SECOND


def state() -> RouteState:
    place = Place(base_url="http://127.0.0.1:1/v1")
    client = Scope("client", concurrency=Concurrency(1_000_000, stated=True), limits={})
    return RouteState(route(Model(id="openai/m"), place), client)


def send(found: RouteState, now: int = NOW) -> Permit:
    found.take(now, ONE)
    return Permit(found, ONE, now)


def tell(found: RouteState, permit: Permit, now: int, **words: str) -> None:
    headers = {f"x-ratelimit-{name.replace('_', '-')}": word for name, word in words.items()}
    permit.leave(now, None)
    found.hear(read_limits(headers), permit, now, PATIENCE)


def test_what_was_sent_before_the_first_reply_counts_only_up_to_what_was_left() -> None:
    found = state()
    permits = [send(found) for _ in range(128)]
    tell(found, permits[0], NOW + 1, limit_requests="10", remaining_requests="9")
    # The server takes nine of the others and refuses the rest: nothing is owed for those.
    for permit in permits[1:]:
        permit.leave(NOW + 1, None)
    assert 0 < found.wait(NOW + 2, ONE) <= MINUTE + SECOND
    assert found.wait(NOW + MINUTE + SECOND, ONE) <= 0


def test_a_refund_goes_back_to_the_limit_that_was_charged() -> None:
    found = state()
    tell(found, send(found), NOW, limit_tokens="1000", remaining_tokens="1000")
    large, now = cost(900, 0), NOW + SECOND
    found.take(now, large)
    permit = Permit(found, large, now)
    assert found.wait(now, large) > 30 * SECOND
    permit.leave(now, ONE)
    # Only the pace is left, which does not forget so soon that it was charged.
    assert found.wait(now + 2 * SECOND, large) <= 0


@pytest.mark.parametrize(
    "limit", ["0", "0.5", "-3", "1e300", "1e-300", "9223372036854775807", "nan"]
)
def test_what_is_no_limit_is_none(limit: str) -> None:
    found = state()
    tell(found, send(found), NOW, limit_requests=limit, remaining_requests="0")
    assert found.account.hearing is not None
    assert not found.account.hearing.has_pace
    assert found.wait(NOW, ONE) <= 0


def test_more_left_than_allowed_is_all_that_is_allowed() -> None:
    found = state()
    tell(found, send(found), NOW, limit_requests="600", remaining_requests="1e300")
    assert found.wait(NOW, ONE) <= SECOND


def test_a_quota_that_is_used_up_for_longer_than_anybody_waits_closes_the_route() -> None:
    found = state()
    words = {"limit_requests_day": "14400", "reset_requests_day": "33011"}
    one, two = send(found), send(found)
    tell(found, one, NOW, remaining_requests_day="0", **words)
    assert isinstance(found.gone, QuotaError)
    assert "14400" in str(found.gone)
    # Another reply says that it is not so.
    tell(found, two, NOW + SECOND, remaining_requests_day="100", **words)
    assert found.gone is None


def test_a_limit_that_is_told_refuses_no_prompt_for_good() -> None:
    found = state()
    tell(found, send(found), NOW, limit_tokens="1", remaining_tokens="1")
    assert found.most_input == float("inf")


def test_a_halved_limit_that_is_held_in_full_may_be_held_beyond_it() -> None:
    found = state()
    tell(found, send(found), NOW, limit_requests="60", remaining_requests="59")
    now, permit = NOW, send(found)
    for _ in range(49):
        now += max(found.wait(now, ONE), 1)
        permit = send(found, now)
    tell(found, permit, now, limit_requests="30", remaining_requests="0")
    # 51 were sent within the minute: the first 22 have to be forgotten.
    assert found.wait(now, ONE) >= 20 * SECOND
