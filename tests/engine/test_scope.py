"""Scopes and routes: room is room in every scope at once, and what is taken comes back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pytest

from headrace import Model, Price, SamplingParams
from headrace.core.errors import GoneError
from headrace.core.model import Rates
from headrace.core.prices import PriceList
from headrace.engine.limits import Limit, Scope
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import FIRST, Concurrency
from headrace.policy.breaker import NEVER
from headrace.policy.buckets import SECOND
from headrace.policy.cost import NOTHING, ONE, cost
from headrace.registry.resolve import Place, route

PLACE: Final = Place(base_url="http://127.0.0.1:1/v1")
NOW: Final = 1_000 * SECOND


def scope(slots: int | None = None, **limits: float | None) -> Scope:
    concurrency = Concurrency(slots or 1_000_000, fixed=slots is not None)
    return Scope("client", concurrency=concurrency, limits=limits)


def state(client: Scope | None = None, **limits: Any) -> RouteState:
    return RouteState(route(Model(id="openai/m", **limits), PLACE), client or scope())


def test_only_what_runs_on_this_machine_has_a_price_by_itself() -> None:
    free = RouteState(route(Model(id="local/smollm2"), Place()), scope())
    assert free.pricing.tariff == PriceList.flat(Rates(0, 0, 0, 0))
    own = Price(input=Decimal(1), output=Decimal(2))
    priced = RouteState(route(Model(id="local/smollm2", price=own), Place()), scope())
    assert priced.pricing.tariff == PriceList.flat(own.rates())
    elsewhere = RouteState(route(Model(id="local/smollm2"), PLACE), scope())
    assert (elsewhere.pricing.tariff, state().pricing.tariff) == (None, None)
    assert not elsewhere.pricing.has_data


def test_a_limit_gives_a_burst_and_then_the_rate() -> None:
    limit = Limit(60)
    assert limit.wait(NOW, 1) == 0
    limit.take(NOW, 1)
    assert limit.wait(NOW, 1) == pytest.approx(SECOND, rel=0.01)
    limit.settle(NOW, NOW, -1)
    assert limit.wait(NOW, 1) == 0


def test_a_limit_is_full_when_its_minute_is() -> None:
    limit, now = Limit(600), NOW
    for _ in range(600):
        now += limit.wait(now, 1)
        limit.take(now, 1)
    assert now - NOW < 60 * SECOND
    # The pace alone would let the next one go after a tenth of a second.
    assert now + limit.wait(now, 1) >= NOW + 60 * SECOND


def test_room_is_room_in_every_scope_at_once() -> None:
    client = scope(slots=2)
    one, two = state(client, max_concurrent_requests=1), state(client)
    one.take(NOW, ONE)
    assert one.wait(NOW, ONE) == NEVER
    assert two.wait(NOW, ONE) <= 0
    two.take(NOW, ONE)
    assert two.wait(NOW, ONE) == NEVER
    one.leave(NOW, NOW, ONE, None)
    assert one.wait(NOW, ONE) <= 0
    assert two.wait(NOW, ONE) <= 0


def test_the_longest_wait_of_all_limits_counts() -> None:
    route_state = state(scope(requests_per_minute=60), tokens_per_minute=60)
    route_state.take(NOW, cost(60, 0))
    assert route_state.wait(NOW, cost(1, 0)) > 50 * SECOND
    assert route_state.wait(NOW, ONE) == pytest.approx(SECOND, rel=0.01)
    assert route_state.counts_tokens
    assert route_state.most_input == 60


def test_what_was_not_sent_costs_no_request_and_what_was_not_used_no_tokens() -> None:
    route_state = state(requests_per_minute=60, tokens_per_minute=6_000)
    route_state.take(NOW, cost(6_000, 0))
    route_state.leave(NOW, NOW, cost(6_000, 0), NOTHING)
    assert route_state.wait(NOW, cost(6_000, 0)) <= 0
    route_state.take(NOW, cost(100, 0))
    route_state.leave(NOW, NOW, cost(100, 0), cost(600, 0))
    # An overrun is a debt that the next ones pay.
    assert route_state.wait(NOW, cost(100, 0)) == pytest.approx(6 * SECOND, rel=0.05)


def test_without_rates_nothing_is_counted() -> None:
    route_state = state()
    assert not route_state.limits
    # A server that tells its limits may come to tell one of tokens.
    assert route_state.counts_tokens
    assert route_state.own.concurrency.limit == FIRST


def test_a_given_concurrency_is_the_ceiling_of_each_route() -> None:
    assert state(scope(slots=7)).own.concurrency.limit == 7
    assert state(scope(slots=7), max_concurrent_requests=3).own.concurrency.limit == 3


def test_quiet_trouble_and_an_end() -> None:
    route_state = state()
    assert route_state.is_well(NOW)
    route_state.account.parked_until = NOW + 5 * SECOND
    assert route_state.wait(NOW, ONE) == 5 * SECOND
    assert not route_state.is_well(NOW)
    assert route_state.is_well(NOW + 5 * SECOND)
    for _ in range(5):
        route_state.breaker.fail(NOW + 5 * SECOND, 0.5)
    assert not route_state.is_well(NOW + 5 * SECOND)
    route_state.take(NOW + 10 * SECOND, ONE)
    assert route_state.wait(NOW + 10 * SECOND, ONE) == NEVER  # the probe is out
    route_state.gone = GoneError("401")
    assert route_state.wait(NOW, ONE) == NEVER
    assert not route_state.is_well(NOW)
    route_state.revive(NOW)
    assert route_state.gone is not None  # a server that asked for quiet gets it
    route_state.revive(NOW + 5 * SECOND)
    assert route_state.is_well(NOW + 5 * SECOND)


def test_revival_leaves_alone_what_is_not_gone() -> None:
    route_state = state()
    route_state.account.parked_until = NOW
    route_state.revive(0)
    assert route_state.account.parked_until == NOW


def test_a_fork_holds_nothing() -> None:
    client = scope(slots=1)
    route_state = state(client)
    route_state.take(NOW, ONE)
    route_state.waiting = 3
    route_state.forget_flights()
    assert (route_state.waiting, client.in_flight) == (0, 0)
    assert route_state.wait(NOW, ONE) <= 0


def test_an_answer_depends_on_endpoint_model_codec_and_own_parameters() -> None:
    plain = state()
    own = RouteState(plain.route, scope(), SamplingParams(temperature=0.5))
    assert plain.identity != own.identity
    assert plain.identity == state(requests_per_minute=5).identity
