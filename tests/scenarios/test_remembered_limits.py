"""The second run begins where the first one ended, and is bound by nothing of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from headrace import LLMClient
from headrace.adapters import remembered
from headrace.core.model import Model
from headrace.testing import Script
from headrace.testing.simulation import Report, Terms, Vendor, simulate
from tests.clients import lanes, made, run
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.policy.known import Known
    from headrace.testing import FakeServer
    from headrace.testing.windows import Counting

pytestmark = pytest.mark.once

PER_MINUTE = 3_000
TOLD = Terms(requests_per_minute=PER_MINUTE, headers="openai", hints=False)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is remembered."""
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    return tmp_path / "limits"


def again(terms: Terms, seconds: float = 60, **options: Any) -> Report:
    """One run of several, each with a client of its own, and what the vendor saw."""
    options = {"remember_limits": True, "chance": lambda: 0.5, **options}
    return simulate(Vendor(terms), (f"p{n}" for n in count()), seconds=seconds, **options).report()


def first_reply(report: Report) -> float:
    return min(send.ended or 0.0 for send in report.sends)


def the_one() -> Known:
    (known,) = remembered.every()
    return known


@pytest.mark.parametrize("limit", first_of(120, 5, PER_MINUTE))
@pytest.mark.parametrize("counting", first_of("continuous", "minute", "sliding"))
def test_told_limits_are_kept_from_the_first_request_on(counting: Counting, limit: int) -> None:
    terms = replace(TOLD, requests_per_minute=limit, counting=counting)
    first, second = again(terms), again(terms, 130)
    assert len([send for send in first.sends if send.at < 0.4]) >= 16
    assert second.refusals() == 0
    # No faster than the limit in any two seconds, and no slower on the whole.
    assert second.most(2.0) <= max(1, limit * 2 / 60 * 1.11)
    assert second.share(limit, 0, 120) >= 0.97
    assert again(terms).refusals() == 0


def test_slow_answers_are_many_at_once_from_the_first_second_on() -> None:
    terms = replace(TOLD, first_token=5.0)
    first, second = again(terms, 100), again(terms)
    assert first.share(PER_MINUTE, 0, 5) < 0.2
    assert second.share(PER_MINUTE, 0, 5) >= 0.85
    assert second.share(PER_MINUTE, 5, 50) >= 0.95
    assert second.refusals() == 0


@pytest.mark.parametrize("counting", first_of("sliding", "minute", "second"))
@pytest.mark.parametrize("hints", first_of(True, False))
def test_a_pace_that_was_found_out_is_where_the_next_run_begins(
    counting: Counting, hints: bool
) -> None:
    terms = Terms(requests_per_minute=PER_MINUTE, counting=counting, hints=hints)
    first, second = again(terms, 180), again(terms, 20)
    assert first.refusals(0, 10) > 20
    assert second.refusals(0, 10) <= 1
    assert second.share(PER_MINUTE, 0, 10) >= 0.85


@pytest.mark.parametrize("most", first_of(5, 50))
def test_concurrency_begins_where_it_was(most: int) -> None:
    terms = Terms(max_concurrent_requests=most)
    first, second = again(terms), again(terms)
    per_minute = most / terms.first_token * 60
    assert first.refusals(0, 10) >= 10
    assert second.refusals(0, 10) <= 1
    assert second.share(per_minute, 0, 2) >= 0.9


def test_where_nothing_is_refused_it_does_not_creep_up_from_run_to_run() -> None:
    """A server that gets slower has its knee, which only shows from below."""
    limits = []
    for _ in range(4):
        again(Terms(parallel=20), 30)
        limits.append(the_one().at_once or 0)
    assert max(limits) <= 1.2 * min(limits)


def test_a_told_limit_that_was_raised_meanwhile_is_followed() -> None:
    again(TOLD)
    told = again(replace(TOLD, requests_per_minute=4 * PER_MINUTE), 20)
    assert told.share(4 * PER_MINUTE, 5, 18) >= 0.9


def test_concurrency_that_was_raised_meanwhile_is_found_again() -> None:
    again(Terms(max_concurrent_requests=20))
    more = again(Terms(max_concurrent_requests=40), 60)
    assert more.share(40 / 0.4 * 60, 30, 58) >= 0.9


def test_a_limit_that_was_lowered_meanwhile_is_kept_from_the_first_reply_on() -> None:
    again(TOLD)
    less = again(replace(TOLD, requests_per_minute=PER_MINUTE / 4))
    assert less.refusals(first_reply(less)) == 0


def test_who_tells_no_longer_is_not_bound_by_what_was_told() -> None:
    again(replace(TOLD, requests_per_minute=60))
    free = again(Terms(), 8)
    assert free.between(2, 8) > 350
    assert the_one().told == ()


def test_what_the_user_says_counts_and_what_it_hides_is_kept() -> None:
    again(Terms(max_concurrent_requests=50))
    known = replace(the_one(), per_minute=None)
    remembered.write(known)
    stated = again(Terms(), 10, max_concurrent_requests=200)
    assert max(send.in_flight for send in stated.sends if send.at < 1) == 200
    assert the_one().at_once == known.at_once
    remembered.write(replace(known, per_minute=60.0))
    row = Model(id="openai/any", requests_per_minute=6_000)
    assert again(Terms(), 10, models=row).share(6_000, 0, 9) >= 0.9


def test_what_is_old_or_damaged_changes_nothing(folder: Path) -> None:
    first = again(TOLD, 20)
    known = the_one()
    remembered.write(replace(known, at=known.at - 8 * 86_400))
    assert again(TOLD, 20).sends == first.sends
    for path in folder.iterdir():
        path.write_bytes(b'{"format":1,"told":')
    assert again(TOLD, 20).sends == first.sends
    assert the_one() == known  # written again


def test_a_run_in_trouble_leaves_what_is_remembered() -> None:
    again(TOLD)
    known = the_one()
    again(Terms(failures=1.0, failure_status=429), 300)
    assert the_one() == known


@pytest.mark.parametrize("remember_limits", [None, False])
def test_simulations_remember_nothing_unasked(folder: Path, remember_limits: bool | None) -> None:
    again(TOLD, 5, remember_limits=remember_limits)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"")
    monkeypatch.setenv("HEADRACE_HOME", str(place))
    assert again(TOLD, 5).refusals() == 0


def test_single_prompts_leave_what_they_found_when_the_client_is_closed() -> None:
    client = made(Script(), remember_limits=True)
    for _ in range(200):
        client.ask_sync("a prompt that is long enough to be counted, more or less " * 20)
    assert remembered.every() == []
    client.close()
    assert the_one().correction is not None


def test_it_is_on_for_servers_on_other_machines_alone(server: FakeServer) -> None:
    far = LLMClient("openai/m", api_key="k", base_url="https://gpu.example:8443/v1")
    for client, name in [
        (LLMClient("openai/gpt-4.1-mini", api_key="k"), "openai/gpt-4.1-mini"),
        (LLMClient("openai/gpt-4.1-mini", api_key=["k", "l"]), "openai/gpt-4.1-mini"),
        (far, "gpu.example:8443/m"),
    ]:
        assert lanes(client)[0].is_unread
        assert client._fleet._memory._name(lanes(client)[0]) == name  # noqa: SLF001 - nothing is sent there
    two = LLMClient("openai/gpt-4.1-mini", api_key=["k", "l"])
    assert two._fleet._memory._name(lanes(two)[1]) == "openai/gpt-4.1-mini#2"  # noqa: SLF001 - nothing is sent there
    here = [LLMClient("openai/m", base_url=server.base_url), LLMClient("local/smollm2")]
    never = LLMClient("openai/m", api_key="k", remember_limits=False)
    assert not any(lanes(client)[0].is_to_recall for client in (*here, never))
    run(here[0], ["p"] * 50)
    assert remembered.every() == []
