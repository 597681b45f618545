"""Keys of one account, and models of one family, share what their vendor limits."""

from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import ConfigError, LLMClient, Model, RequestContext, SamplingParams
from headrace.core.errors import RateLimitError
from headrace.providers.catalog import Catalog
from headrace.testing import FakeServer, Script, VirtualClock, run_virtual
from headrace.testing.simulation import Report, Terms, Vendor, simulate, simulated
from tests.clients import NOWHERE, check_nothing_is_held, lanes, made, quiet, virtual

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.once

KEYS: Final = ["sk-one", "sk-two"]
OURS: Final = Model(id="openai/any", account="ours")
ALLOWED: Final = 600


def pushed(terms: Terms | Mapping[float, Terms], seconds: float = 185.0, **options: Any) -> Report:
    """What a vendor sees of a client that has always more to send."""
    vendor = Vendor(terms, seed=3, phase=17.25)
    prompts = (f"p{n}" for n in range(int(ALLOWED * (seconds + 80) / 60)))
    options = {"models": OURS, "api_key": KEYS, **options}
    dice = random.Random(3).random
    simulate(vendor, prompts, seconds=seconds, chance=dice, **options)
    return Report(vendor.sends)


def of_keys(report: Report) -> set[int]:
    return {send.key for send in report.sends if send.status == 200}


def test_a_stated_limit_is_that_of_all_keys() -> None:
    row = Model(id="openai/any", account="ours", requests_per_minute=ALLOWED)
    terms = Terms(requests_per_minute=ALLOWED, counting="sliding", shared=True)
    report = pushed(terms, models=row)
    assert report.most() <= ALLOWED
    assert report.refusals() == 0
    assert report.share(ALLOWED, 60, 180) >= 0.99
    assert of_keys(report) == {1, 2}


def test_a_limit_that_is_told_is_that_of_all_keys() -> None:
    """Of a vendor that does not tell whose it is."""
    terms = Terms(requests_per_minute=ALLOWED, counting="sliding", shared=True, headers="mistral")
    report = pushed(terms, models=Model(id="mistral/any", account="ours"))
    assert report.most() <= ALLOWED
    assert report.refusals() == 0
    assert report.share(ALLOWED, 60, 180) >= 0.95


def test_a_pace_that_is_found_out_is_that_of_all_keys() -> None:
    terms = Terms(requests_per_minute=ALLOWED, shared=True, first_token=1.0, hints=False)
    report = pushed(terms)
    late = [send for send in report.sends if send.at > 30]
    assert report.refusals(30) <= 0.01 * len(late)
    assert report.share(ALLOWED, 60, 180) >= 0.9
    assert of_keys(report) == {1, 2}


def test_a_key_that_is_revoked_leaves_the_whole_limit_to_the_other() -> None:
    row = Model(id="openai/any", account="ours", requests_per_minute=ALLOWED)
    before = Terms(requests_per_minute=ALLOWED, counting="sliding", shared=True)
    after = Terms(
        requests_per_minute=ALLOWED, counting="sliding", shared=True, revoked=frozenset({1})
    )
    report = pushed({0.0: before, 40.0: after}, models=row)
    assert report.share(ALLOWED, 60, 180) >= 0.99
    assert report.most() <= ALLOWED
    assert {send.key for send in report.sends if send.at > 42} == {2}


def test_a_key_of_another_account_has_limits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"KEY_OF_{whose}" for whose in ("US", "US_TOO", "THEM")]
    for name in names:
        monkeypatch.setenv(name, f"sk-{name}")
    of = dict(zip(names, ["us", "us", "them"], strict=True))
    row = Model(id="openai/m", key_env=tuple(names), account=of, requests_per_minute=60)
    script = Script(latency=0.1)

    async def main(client: LLMClient) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(61):
                await quiet(client, map(str, range(1_000)))

    virtual(script, main, models=row)
    routes = [call.route for call in script.calls]
    assert sum(route != "openai/m#3" for route in routes) <= 61
    assert 59 <= routes.count("openai/m#3") <= 61


def test_a_refusal_parks_all_keys_of_its_account() -> None:
    def refused_once(*call: Any) -> RateLimitError | float:
        return RateLimitError("slow", status=429, hint=20.0) if call[2] == 3 else 0.1

    script = Script(refused_once)

    async def main(client: LLMClient) -> tuple[float, ...]:
        run = asyncio.create_task(quiet(client, map(str, range(1_000))))
        await asyncio.sleep(1)
        parked = tuple(route.parked for route in client.routes())
        await run
        return parked

    parked = virtual(script, main, models=Model(id="openai/m", account="ours"), api_key=KEYS)
    assert parked[0] == parked[1] > 18
    heard = script.calls[3].at + 0.1
    assert not [call for call in script.calls if heard < call.at < heard + 19.9]


def test_keys_that_a_real_server_calls_one_account_share_what_it_tells() -> None:
    of = dict.fromkeys(KEYS, "org-ours")
    with FakeServer.in_thread(requests_per_minute=60_000, accounts=of) as server:
        model, url = "openai/fake", server.base_url
        with LLMClient(model, base_url=url, api_key=KEYS) as client:
            responses = client.process_prompts_sync(map(str, range(60)), show_progress=False)
            one, two = lanes(client)
    assert len(responses.succeeded) == 60
    assert {request.key for request in server.received} == set(KEYS)
    assert one.account is two.account


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.0001, 2.5])
def test_what_is_cancelled_while_keys_are_found_to_be_of_one_account_holds_nothing(
    seconds: float,
) -> None:
    clock = VirtualClock()
    terms = Terms(
        requests_per_minute=ALLOWED,
        counting="sliding",
        shared=True,
        first_token=1.0,
        headers="openai",
    )
    vendor = Vendor(terms)
    catalog = Catalog({"openai_chat": simulated(vendor)})

    async def main() -> None:
        client = LLMClient(
            "openai/any", base_url=NOWHERE, api_key=KEYS, clock=clock, catalog=catalog
        )
        async with client:
            for limit in (seconds, 130.0):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(limit):
                        await quiet(client, map(str, range(2_000)))
                check_nothing_is_held(client)
            one, two = lanes(client)
            assert one.account is two.account

    run_virtual(main, clock=clock)
    report = Report(vendor.sends)
    # Nobody knows what became of those that were cancelled before their replies came.
    assert report.refusals() == 0
    assert report.most() <= ALLOWED
    assert report.share(ALLOWED, 70, 130) >= 0.98


def test_the_next_run_begins_with_one_limit_for_all_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    terms = Terms(requests_per_minute=ALLOWED, counting="sliding", shared=True, headers="mistral")
    row = Model(id="mistral/any", account="ours")
    first, second = (pushed(terms, 70.0, models=row, remember_limits=True) for _ in range(2))
    assert len([send for send in first.sends if send.at < 0.4]) >= 16
    assert second.most(2.0) <= ALLOWED / 30 * 1.11
    assert second.refusals() == 0


def test_why_it_waits_names_the_account() -> None:
    row = Model(id="openai/m", account="ours", requests_per_minute=60)

    async def main(client: LLMClient) -> str:
        run = asyncio.create_task(quiet(client, map(str, range(20))))
        await asyncio.sleep(1.5)
        said = ", ".join(map(str, client.statistics().binding))
        in_flight = [route.in_flight for route in client.routes()]
        await run
        assert client.statistics().sent == 20
        assert sum(in_flight) == client.statistics().in_flight == 0
        return said

    said = virtual(Script(latency=0.1), main, models=row, api_key=KEYS)
    assert said == "requests/min of openai/m, account ours (60)"


class TestFamilies:
    """Models that share their limits."""

    def rows(self, **more: Any) -> list[Model]:
        return [Model(id=f"openai/{name}", limit_group="all", **more) for name in ("a", "b")]

    def test_models_of_one_group_share_their_limits(self) -> None:
        terms = Terms(requests_per_minute=ALLOWED, counting="sliding", shared=True)
        rows = self.rows(requests_per_minute=ALLOWED)
        report = pushed(terms, models=rows, api_key="sk-one")
        assert report.most() <= ALLOWED
        assert report.share(ALLOWED, 60, 180) >= 0.99

    def test_a_large_prompt_to_one_is_not_passed_by_small_ones_to_the_other(self) -> None:
        rows = self.rows(tokens_per_minute=10_000)
        script, sent = Script(latency=0.1), {}

        async def main(client: LLMClient) -> None:
            small = (RequestContext(prompt=f"s{n}", model="openai/b") for n in count())
            run = asyncio.create_task(quiet(client, small))
            await asyncio.sleep(60)
            began = asyncio.get_running_loop().time()
            large = RequestContext(prompt="x" * 24_000, model="openai/a")
            await client.process_single_request(large)
            sent["large"] = asyncio.get_running_loop().time() - began
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

        virtual(script, main, models=rows, sampling_params=SamplingParams(max_tokens=100))
        # 6,000 tokens of it and what had been asked before it.
        assert sent["large"] <= 2 * (6_100 + 256 * 105) / 10_000 * 60

    def test_another_key_is_another_family(self) -> None:
        client = made(Script(), [*self.rows()], api_key=KEYS)
        names = [state.account.name for state in lanes(client)]
        assert names == ["openai/all", "openai/all#2", "openai/all", "openai/all#2"]

    def test_rows_that_contradict_each_other_are_refused(self) -> None:
        rows = [self.rows(requests_per_minute=60)[0], self.rows(requests_per_minute=90)[1]]
        with pytest.raises(ConfigError, match=r"openai/a and openai/b share their limits.*60.*90"):
            LLMClient(rows, base_url=NOWHERE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"account": ""}, "account: it must be a name"),
        ({"account": " "}, "account: it must be a name"),
        ({"account": " a "}, "account: it must be a name"),
        ({"account": 7}, "account: it must be a name"),
        ({"account": {}}, "account: it must be a name"),
        ({"key_env": ("A",), "account": {"A": ""}}, "account: it must be a name"),
        ({"key_env": ("A", "B"), "account": {"A": "x"}}, r"each variable of key_env=.*see B"),
        ({"key_env": ("A",), "account": {"A": "x", "C": "x"}}, "see C"),
        ({"account": {"A": "x"}}, "see A"),
        ({"limit_group": ""}, "limit_group: it must be a name"),
        ({"key_env": ("A",), "account": {"A": "x "}}, "account: it must be a name"),
        ({"limit_group": " a "}, "limit_group: it must be a name"),
        ({"limit_group": 1}, "limit_group: it must be a text"),
    ],
)
def test_what_is_no_account_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Model(id="openai/m", **given)
