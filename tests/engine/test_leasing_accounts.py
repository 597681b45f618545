"""Accounts among several processes: one scope and one quiet, whichever keys each of them has."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Model
from headrace.core.errors import OverloadedError, RateLimitError
from headrace.testing import Script
from tests.clients import made
from tests.engine.test_leasing import Together, pushing
from tests.scenarios.test_limits import most_in_a_minute

if TYPE_CHECKING:
    from headrace.core.model import Route

pytestmark = pytest.mark.once


def of_one_account(first: Script, second: Script) -> Together:
    """A process with two keys of an account, and another one with one of them."""
    model = Model(id="openai/m", account="ours", requests_per_minute=600)
    together = Together(first, models=model, api_key=["sk-one", "sk-two"])
    known: dict[str, Any] = {
        "clock": together.clock,
        "shared_limits": together.book,
        "chance": lambda: 0.5,
    }
    together.clients.append(made(second, model, api_key="sk-two", **known))
    together.scripts = first, second
    return together


def test_an_account_is_the_same_in_all_processes_whichever_of_its_keys_they_have() -> None:
    together = of_one_account(Script(latency=1.0), Script(latency=1.0))
    together.play(pushing(10_000, 130.0))
    at = together.sent_at
    assert most_in_a_minute(at, [1] * len(at)) <= 600
    assert len(at) >= 0.96 * 600 * 130 / 60
    keys = {call.route for script in together.scripts for call in script.calls}
    assert keys == {"openai/m", "openai/m#2"}
    scopes = {name for message in together.book.messages for name in message.scopes}
    assert scopes == {"openai/m, account ours"}


def test_quiet_asked_of_one_key_is_kept_by_the_others_of_its_account_everywhere() -> None:
    refused: list[float] = []

    def refused_once(context: object, route: Route, n: int) -> RateLimitError | float:
        del context
        if refused or n < 30 or route.id != "openai/m#2":
            return 1.0
        refused.append(together.clock.now() / 1e9)
        return RateLimitError("slow", status=429, hint=20.0)

    first, second = Script(refused_once, latency=1.0), Script(latency=1.0)
    together = of_one_account(first, second)
    together.play(pushing(300))
    [sent] = refused
    parked = sent + 1.0
    heard = parked + 1.2
    assert [at for at in together.sent_at if heard < at < parked + 19] == []
    assert len(together.sent_at) > 600


def test_a_breaker_that_opens_for_one_key_elsewhere_leaves_the_other_keys_alone() -> None:
    def broken(context: object, route: Route, n: int) -> OverloadedError | float:
        del context, n
        return OverloadedError("down", status=503) if route.id == "openai/m#2" else 1.0

    model = Model(id="openai/m", account="ours", requests_per_minute=600)
    scripts = Script(broken, latency=1.0), Script(broken, latency=1.0)
    together = Together(*scripts, models=model, api_key=["sk-one", "sk-two"])
    together.play(pushing(300))
    sent = [call.at for call in scripts[1].calls if not call.route.endswith("#2")]
    assert len(sent) >= 300
    assert [call for script in scripts for call in script.calls if call.route.endswith("#2")]
    assert max(b - a for a, b in pairwise(sent)) < 1.0
