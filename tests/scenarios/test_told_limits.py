"""Limits that nobody gave, told by a server's headers: used to the full, kept, and followed."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, get_args

import pytest

from headrace import SamplingParams
from headrace.testing.simulation import Report, Terms, Vendor, declared, simulate
from headrace.testing.windows import Counting
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.testing.simulation.headers import HeaderDialect

pytestmark = pytest.mark.once

COUNTINGS = get_args(Counting)
PER_MINUTE = 3_000


def run(terms: Terms | Mapping[float, Terms], seconds: float) -> Report:
    prompts = (f"p{n}" for n in count())
    return simulate(Vendor(terms), prompts, seconds=seconds, chance=lambda: 0.5).report()


def first_reply(report: Report, since: float = 0.0) -> float:
    """When the first request that came after ``since`` was answered."""
    return min(send.ended or 0.0 for send in report.sends if send.at >= since)


@pytest.mark.parametrize("counting", first_of(*COUNTINGS))
@pytest.mark.parametrize("headers", first_of("openai", "anthropic"))
def test_after_the_first_reply_nothing_is_refused_and_all_is_used(
    counting: Counting, headers: HeaderDialect
) -> None:
    terms = Terms(requests_per_minute=PER_MINUTE, counting=counting, headers=headers, hints=False)
    report = run(terms, 100)
    if counting != "second":
        assert report.refusals(first_reply(report)) == 0
    # How the second began is nobody's to know before some of them have passed.
    assert report.refusals(30) <= len(report.sends) / 1_000
    assert report.share(PER_MINUTE, 30, 98) >= 0.99


@pytest.mark.parametrize("counting", first_of(*COUNTINGS))
@pytest.mark.parametrize("factor", first_of(0.5, 2))
def test_a_limit_that_changes_is_followed(counting: Counting, factor: float) -> None:
    before = Terms(requests_per_minute=PER_MINUTE, counting=counting, headers="openai")
    after = replace(before, requests_per_minute=PER_MINUTE * factor)
    report = run({0.0: before, 61.0: after}, 150)
    # Those under way when it changed were sent under the old one.
    told = first_reply(report, 61.0)
    assert report.refusals(told) <= len(report.sends) / 1_000
    assert report.share(PER_MINUTE * factor, 121, 148) >= 0.9


def test_tokens_are_kept_as_well_though_nobody_counted_them_before() -> None:
    terms = Terms(tokens_per_minute=600_000, headers="openai", hints=False, first_token=1.0)
    vendor = Vendor(terms)
    prompts = (f"p{n}" for n in count())
    most = SamplingParams(max_tokens=1_024)
    report = simulate(vendor, prompts, seconds=100, sampling_params=most).report(declared)
    assert report.refusals(first_reply(report)) == 0
    assert report.share(600_000, 30, 98) >= 0.98


def test_what_is_told_late_is_kept_as_well() -> None:
    """A gateway that begins to tell in the middle of a run, and tells of tokens."""
    mute = Terms(tokens_per_minute=600_000, first_token=1.0, hints=False)
    vendor = Vendor({0.0: mute, 70.0: replace(mute, headers="openai")})
    prompts = (f"p{n}" for n in count())
    most = SamplingParams(max_tokens=1_024)
    report = simulate(vendor, prompts, seconds=180, sampling_params=most).report(declared)
    # Those that waited already had not been measured.
    assert report.refusals(85) <= 2
    assert report.share(600_000, 85, 175) >= 0.95


@pytest.mark.parametrize("counting", first_of("sliding", "continuous", "minute"))
@pytest.mark.parametrize("status", first_of(429, 503))
def test_after_an_outage_all_that_is_allowed_is_used_again(counting: Counting, status: int) -> None:
    well = Terms(tokens_per_minute=60_000, headers="openai", counting=counting, counts="used")
    ill = replace(well, failures=1.0, failure_status=status)
    vendor = Vendor({0.0: well, 100.0: ill, 300.0: well})
    most = SamplingParams(max_tokens=1_024)
    prompts = (f"p{n}" for n in count())
    played = simulate(vendor, prompts, seconds=900, sampling_params=most, chance=lambda: 0.5)
    report = played.report(declared)
    # Reserved is the declared maximum, of which a tenth is used.
    assert report.share(60_000, 420, 890) >= 0.95


@pytest.mark.parametrize("counting", ["continuous", "minute"])
@pytest.mark.parametrize("limit", first_of(20, 5, 60))
def test_refusals_before_the_first_reply_are_no_debt(counting: Counting, limit: int) -> None:
    report = run(Terms(requests_per_minute=limit, headers="openai", counting=counting), 300)
    assert report.refusals(first_reply(report)) == 0
    assert report.share(limit, 60, 300) >= 0.95


@pytest.mark.parametrize("counting", ["continuous", "minute", "sliding"])
def test_a_minute_that_is_used_up_needs_no_patience(counting: Counting) -> None:
    terms = Terms(requests_per_minute=60, counting=counting, headers="openai", hints=False)
    found = simulate(Vendor(terms), (f"p{n}" for n in range(200)), patience=0, chance=lambda: 0.5)
    assert (found.answered, found.report().refusals()) == (200, 0)
