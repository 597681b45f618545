"""A simulated vendor keeps to its terms, tells the truth in its headers, and replays exactly."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args

import pytest

from headrace import ConfigError
from headrace.testing.simulation import Report, Send, Terms, Vendor, declared, simulate, used
from headrace.testing.simulation.headers import HeaderDialect, limit_headers
from headrace.testing.windows import Level
from headrace.wire.failure import read_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

PROMPTS = [f"p{n}" for n in range(400)]


def run(terms: Terms | Mapping[float, Terms], count: int = 400, **options: Any) -> Report:
    options.setdefault("max_concurrent_requests", 50)
    return simulate(Vendor(terms, seed=3), PROMPTS[:count], **options).report()


def test_a_run_replays_exactly() -> None:
    terms = Terms(per_token=0.01, spread=1.0, failures=0.2, requests_per_minute=600)
    assert run(terms).sends == run(terms).sends


def test_a_limit_is_never_exceeded_whoever_asks() -> None:
    report = run(Terms(requests_per_minute=100, counting="sliding"))
    assert report.most() == 100
    assert report.refusals() > 0
    assert report.between(0, 1e9) == 400


@pytest.mark.parametrize(("counts", "cost"), [("declared", declared), ("used", used)])
def test_tokens_are_charged_as_declared_or_as_used(
    counts: Literal["declared", "used"], cost: Callable[[Send], float]
) -> None:
    terms = Terms(tokens_per_minute=20_000, counts=counts, output=100, hints=True)
    seen = simulate(Vendor(terms), PROMPTS[:200], max_concurrent_requests=4).report(cost)
    assert seen.between(0, 1e9) == 200 * (5 + (1_024 if counts == "declared" else 100))
    # A full bucket, and what it gained meanwhile; what is said is charged when it is over.
    assert seen.most() <= 2 * 20_000 + 4 * 1_129


def test_too_many_at_once_are_refused_and_a_crowd_is_slow() -> None:
    report = run(Terms(max_concurrent_requests=10))
    assert max(send.in_flight for send in report.sends if send.status == 200) == 10
    slow = run(Terms(parallel=10, first_token=1.0), count=50)
    assert max(send.latency for send in slow.sends) == pytest.approx(5.0)


def test_terms_change_while_it_runs() -> None:
    fine = Terms(first_token=0.5)
    out = replace(fine, failures=1.0, failure_status=503)
    report = run({0.0: fine, 2.0: out, 4.0: fine}, max_concurrent_requests=20)
    statuses = {(send.at < 2, send.at >= 4, send.status) for send in report.sends}
    assert statuses == {(True, False, 200), (False, False, 503), (False, True, 200)}


def test_a_revoked_key_is_refused_and_the_other_goes_on() -> None:
    fine = Terms(first_token=0.5)
    terms = {0.0: fine, 3.0: replace(fine, revoked=frozenset({1}))}
    report = run(terms, max_concurrent_requests=20, api_key=["sk-one", "sk-two"])
    assert {send.key for send in report.sends if send.at > 4} == {2}
    assert {send.status for send in report.sends if send.key == 2} == {200}


# They have no header for it.
TELLS_NO_RESET = {"mistral", "fireworks"}


@pytest.mark.parametrize("dialect", get_args(HeaderDialect))
def test_headers_are_read_as_they_are_meant(dialect: HeaderDialect) -> None:
    # Groq tells of a day's requests, under the names that others use for a minute's.
    requests = "requests_of_day" if dialect == "groq" else "requests"
    levels = {what: Level(100, 40, 12.5) for what in (requests, "tokens", "input_tokens")}
    found = read_limits(limit_headers(dialect, levels, 1_767_225_600.25))
    told = [found.requests] if dialect == "fireworks" else [found.requests, found.tokens]
    for limit in told:
        assert limit is not None
        assert (limit.limit, limit.remaining) == (100, 40)
        assert limit.reset == (None if dialect in TELLS_NO_RESET else 12.5)


def test_a_report_counts_what_was_taken() -> None:
    sends = [Send(float(n), 1, "p", 10, 20, 1, output=5, ended=n + 1.0) for n in range(120)]
    sends.append(Send(60.0, 1, "p", 10, 20, 1, status=429))
    report = Report(sends, used)
    assert (report.most(), report.most(10)) == (60 * 15, 10 * 15)
    assert report.share(900, 0, 120) == 1
    assert (report.refusals(), report.refusals(61)) == (1, 0)
    assert (report.reaches(900), report.reaches(2_000)) == (0, None)
    assert (report.ended, report.tail(0.5), report.tail(1.0)) == (120, 60, 120)


def test_what_is_refused_is_not_served_and_crowds_out_nobody() -> None:
    terms = Terms(max_concurrent_requests=1, first_token=1.0, failures=0.5)
    report = run(terms, count=20, max_concurrent_requests=3)
    served = [send for send in report.sends if send.status == 200]
    assert all(send.in_flight == 1 for send in served)
    ends = sorted((send.at, send.ended or 0.0) for send in served)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(ends))


def test_whom_the_client_leaves_has_not_been_answered() -> None:
    found = simulate(Vendor(Terms(first_token=5.0)), PROMPTS[:10], seconds=2.0)
    assert (found.answered, found.report().between(0, 9)) == (0, 0)
    assert {send.status for send in found.vendor.sends} == {0}


def test_the_way_of_counting_may_change_too() -> None:
    terms = Terms(requests_per_minute=60, counting="sliding", hints=False)
    report = run({0.0: terms, 30.0: replace(terms, counting="second")}, count=100)
    assert report.between(0, 30) == 60
    assert 0 < report.between(30.5, 60) <= 30


def test_an_option_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="no transport that could time out"):
        simulate(Vendor(Terms()), PROMPTS[:1], request_timeout=1.0)


def test_terms_have_a_beginning() -> None:
    with pytest.raises(ValueError, match="at 0 seconds"):
        Vendor({5: Terms()})


def test_minutes_begin_when_they_do() -> None:
    terms = Terms(requests_per_minute=60, counting="minute", hints=False)
    prompts = PROMPTS[:100]
    sends = simulate(Vendor(terms, phase=45.0), prompts, max_concurrent_requests=50).vendor.sends
    taken = [send.at for send in sends if send.status == 200]
    assert sum(at < 15 for at in taken) == 60
    assert min(at for at in taken if at >= 15) < 75


def test_a_connection_is_refused() -> None:
    fine = Terms(first_token=0.5)
    out = replace(fine, failures=1.0, failure_status=0)
    found = simulate(Vendor({0.0: fine, 2.0: out, 4.0: fine}), PROMPTS, max_concurrent_requests=20)
    assert {send.status for send in found.vendor.sends if 2 <= send.at < 4} == {0}
    assert found.answered == 400


def test_a_retired_model_is_not_known_any_more() -> None:
    fine = Terms(first_token=0.5)
    terms = {0.0: fine, 3.0: replace(fine, retired=frozenset({"one"}))}
    models = ["openai/one", "openai/two"]
    found = simulate(Vendor(terms), PROMPTS, models=models, max_concurrent_requests=20)
    assert found.answered == 400
    assert {send.status for send in found.vendor.sends if send.at > 4} == {200}
    assert any(send.status == 404 for send in found.vendor.sends)


def test_a_vendor_may_count_more_than_an_estimate() -> None:
    prompts = ["word" * 100]
    sends = [simulate(Vendor(Terms(bias=bias)), prompts).vendor.sends[0] for bias in (0.0, 0.15)]
    assert sends[1].input == round(1.15 * sends[0].input)


@pytest.mark.parametrize("hints", [True, "seconds", "body"])
def test_a_hint_is_never_too_short(hints: Literal[True, "seconds", "body"]) -> None:
    terms = Terms(requests_per_minute=60, counting="sliding", hints=hints)
    sends = simulate(Vendor(terms), PROMPTS[:70], max_concurrent_requests=65).vendor.sends
    refused = next(send for send in sends if send.status == 429)
    later = min(send.at for send in sends if send.at > (refused.ended or 0.0))
    assert refused.ended is not None
    assert later >= refused.ended + refused.wait


@pytest.mark.parametrize("endpoint", ["anthropic", "google", "cohere", "ollama"])
def test_a_model_of_any_endpoint_is_simulated(endpoint: str) -> None:
    assert simulate(Vendor(Terms()), PROMPTS[:5], models=f"{endpoint}/any").answered == 5


def test_when_a_rate_is_reached_may_be_asked_from_later_on() -> None:
    sends = [Send(n / 10, 1, "p", 1, 1, 1, ended=n / 10) for n in range(100)]
    sends += [Send(20 + n / 10, 1, "p", 1, 1, 1, ended=20 + n / 10) for n in range(100)]
    report = Report(sends)
    assert report.reaches(600) == 0
    assert report.reaches(600, since=8.0) == 20


def test_a_day_has_a_limit_of_its_own() -> None:
    terms = Terms(requests_per_day=1_440, headers="groq")
    sends = simulate(Vendor(terms), PROMPTS[:60], max_concurrent_requests=1).vendor.sends
    level = sends[-1].levels["requests_of_day"]
    assert (level.limit, level.remaining) == (1_440, 1_440 - 60)
    assert level.reset == pytest.approx(60 * 60, abs=60)


def test_what_is_refused_may_count_as_well() -> None:
    terms = Terms(requests_per_minute=60, counting="sliding", refusals_count=True, hints=False)
    taken, patient = (
        sum(send.status == 200 and send.at < 59 for send in run(each, count=400).sends)
        for each in (terms, replace(terms, refusals_count=False))
    )
    assert taken < patient
