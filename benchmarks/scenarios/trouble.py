"""Outages, failures and losses in the middle of a run: nothing lost, and hardly anything wasted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from benchmarks.scenarios.scenario import MINUTE, Scenario, at_least, at_most
from headrace import Model
from headrace.testing.simulation import Terms

if TYPE_CHECKING:
    from benchmarks.scenarios.scenario import Figures, Scene

PER_MINUTE: Final = 600
# When it goes and comes back, and after so many seconds of it whatever is sent is a probe.
DOWN, UP, PROBING = 60.0, 120.0, 10.0
GONE: Final = (401, 404)
FINE: Final = Terms(requests_per_minute=PER_MINUTE, counting="sliding", first_token=1.0)
KEPT: Final = (at_most("lost", 0),)
OUTAGE: Final = (
    at_most("sent in the outage", 1.1),
    at_most("sent in all", 1.1),
    at_least("probes", 3),
    at_least("other prompts", 0.5),
    at_most("90 % after", 10.0),
    *KEPT,
)
STATED: Final = {"max_requests_per_minute": PER_MINUTE}


def wasted(scene: Scene) -> Figures:
    """All sends, of prompts that are once each."""
    return {"sent in all": len(scene.report.sends) / scene.asked.count}


def outages(scene: Scene) -> Figures:
    """What was sent while nothing answered: of what the limit allows, and to how many prompts."""
    during = [send for send in scene.report.sends if DOWN <= send.at < UP]
    probes = [send.prompt for send in during if send.at >= DOWN + PROBING]
    return wasted(scene) | {
        "sent in the outage": len(during) / (scene.scenario.limit * (UP - DOWN) / MINUTE),
        "probes": len(probes),
        "other prompts": len(set(probes)) / len(probes) if probes else None,
    }


def outage(name: str, status: int, fine: Terms = FINE, *, stated: bool = True) -> Scenario:
    """For a minute every request fails."""
    down = replace(fine, failures=1.0, failure_status=status)
    return Scenario(
        name=f"outage of 60 s: {name}",
        terms={0.0: fine, DOWN: down, UP: fine},
        limit=PER_MINUTE,
        since=UP,
        start=UP + 10.0,
        end=200.0,
        aims=OUTAGE,
        options=STATED if stated else {},
        more=outages,
    )


def failing(name: str, status: int) -> Scenario:
    """Of all requests 15 % fail, for an hour."""
    terms = Terms(failures=0.15, failure_status=status, first_token=1.0)
    return Scenario(
        name=f"15 % random failures for an hour: {name}",
        terms=terms,
        limit=60,
        end=3_600.0,
        small_end=1_200.0,
        spare=0.0,
        aims=KEPT,
        options={"max_requests_per_minute": 60},
        more=wasted,
    )


def strays(scene: Scene) -> Figures:
    """What was sent to a key or model after it had said that it is gone."""
    refused = [send for send in scene.report.sends if send.status in GONE]
    told = min((send.ended for send in refused if send.ended is not None), default=0.0)
    return {"stray sends": sum(send.at > told for send in refused)}


def revoked() -> Scenario:
    """One of two keys is revoked; each may send 300 a minute."""
    fine = Terms(requests_per_minute=300, counting="sliding", first_token=1.0)
    return Scenario(
        name="key revoked mid-run, one of two",
        terms={0.0: fine, DOWN: replace(fine, revoked=frozenset({1}))},
        limit=300,
        start=DOWN + 10.0,
        spare=90.0,
        aims=(*KEPT, at_most("stray sends", 0), at_least("used", 0.99)),
        options={
            "models": Model(id="openai/any", requests_per_minute=300),
            "api_key": ["sk-one", "sk-two"],
        },
        more=strays,
    )


def retired() -> Scenario:
    """One of two models is retired; each may be sent 300 a minute."""
    rows = [Model(id=f"openai/{name}", requests_per_minute=300) for name in ("one", "two")]
    fine = Terms(first_token=1.0)
    return Scenario(
        name="model retired mid-run, one of two",
        terms={0.0: fine, DOWN: replace(fine, retired=frozenset({"one"}))},
        limit=300,
        start=DOWN + 10.0,
        spare=90.0,
        aims=(*KEPT, at_most("stray sends", 0), at_least("used", 0.99)),
        options={"models": rows},
        more=strays,
    )


def flapping() -> Scenario:
    """Ten seconds up and five down, for three minutes."""
    down = replace(FINE, failures=1.0, failure_status=503)
    terms = {15.0 * n: FINE for n in range(13)} | {15.0 * n + 10.0: down for n in range(12)}
    return Scenario(
        name="flapping: 10 s up, 5 s down",
        terms=terms,
        limit=PER_MINUTE * 2 / 3,
        end=180.0,
        aims=(*KEPT, at_most("sent in all", 1.1)),
        options=STATED,
        more=wasted,
    )


def slower() -> Scenario:
    """From half a second to ten seconds within five minutes, and the limit is stated."""
    fine = replace(FINE, requests_per_minute=300)
    terms = {5.0 * n: replace(fine, first_token=0.5 + n / 6) for n in range(60)}
    return Scenario(
        name="latency that grows from 0.5 s to 10 s",
        terms=terms,
        limit=300,
        end=300.0,
        aims=(at_least("used", 0.99), at_most("429s", 0), *KEPT),
        options={"max_requests_per_minute": 300},
    )


def many() -> Scenario:
    """Ten minutes of a hundred thousand prompts."""
    per_minute = 10_000
    return Scenario(
        name="100,000 prompts in ten simulated minutes",
        terms=Terms(requests_per_minute=per_minute, counting="sliding", first_token=0.5),
        limit=per_minute,
        end=600.0,
        small_end=30.0,
        spare=0.0,
        aims=(at_least("used", 0.99), at_most("429s", 0), at_most("wall time", 60.0), *KEPT),
        options={"max_requests_per_minute": per_minute},
    )


TROUBLE: Final = (
    outage("connections refused", 0),
    outage("503", 503),
    outage("429 without a hint", 429),
    outage("503, limit told by headers", 503, replace(FINE, headers="openai"), stated=False),
    failing("500", 500),
    failing("503", 503),
    failing("connections refused", 0),
    revoked(),
    retired(),
    flapping(),
    slower(),
    many(),
)
