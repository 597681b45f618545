"""How long to wait, told by the body of a refusal alone: runs wait so long, and no longer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import LLMClient, NoRouteError
from headrace.testing import FakeServer, HurriedClock, faults, plans, run_hurried

if TYPE_CHECKING:
    from headrace import APIResponse

pytestmark = pytest.mark.once

RATE: Final = 20
# Seconds of a busy machine, a second and a half of it.
SLACK: Final = 30


def openai(words: str) -> faults.Status:
    error = {"message": words, "type": "tokens", "code": "rate_limit_exceeded"}
    return faults.Status(429, json.dumps({"error": error}))


def google(quota: str, delay: str) -> faults.Status:
    kind = "type.googleapis.com/google.rpc."
    details = [
        {"@type": f"{kind}QuotaFailure", "violations": [{"quotaId": quota}]},
        {"@type": f"{kind}RetryInfo", "retryDelay": delay},
    ]
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}
    return faults.Status(429, json.dumps({"error": error | {"message": "Quota exceeded."}}))


class Run:
    """A few prompts, of which the first sends are refused: what came of them, and when."""

    def __init__(self, model: str, *refusals: faults.Status, count: int = 1) -> None:
        self.clock = HurriedClock(RATE)
        self.rows: list[APIResponse[Any]] = []
        self.stopped = ""
        self.at: list[float] = []
        run_hurried(self._play(model, refusals, count), self.clock)

    async def _play(self, model: str, refusals: tuple[faults.Status, ...], count: int) -> None:
        async with (
            FakeServer(faults=plans.Sequence(refusals)) as server,
            LLMClient(
                model, base_url=server.base_url, api_key="k", clock=self.clock, max_attempts=1
            ) as client,
        ):
            try:
                self.rows = await client.process_prompts_async(
                    [f"p{n}" for n in range(count)], show_progress=False
                )
            except NoRouteError as error:
                self.stopped = str(error)
            first, *later = (seen.at for seen in server.received)
            self.at = [(at - first) * RATE for at in later]


@pytest.mark.parametrize(
    ("model", "refusal", "seconds"),
    [
        ("openai/m", openai("Please try again in 6.5s."), 6.5),
        ("azure/m", openai("Please retry after 7 seconds."), 7.0),
        ("google/m", google("GenerateRequestsPerMinute", "5.25s"), 5.25),
    ],
)
def test_a_run_waits_as_long_as_the_body_says(
    model: str, refusal: faults.Status, seconds: float
) -> None:
    run = Run(model, refusal)
    assert run.rows[0].error is None
    [waited] = run.at
    assert seconds <= waited < seconds + SLACK


def test_a_short_wait_is_believed_however_many_came_before() -> None:
    # Where nobody says how long, eight refusals in a row are worth more than a minute.
    run = Run("openai/m", *[openai("Please try again in 20ms.")] * 8)
    assert run.rows[0].error is None
    assert run.at[-1] < SLACK


def test_a_day_that_is_used_up_stops_the_run_at_once() -> None:
    run = Run("google/m", *[google("GenerateRequestsPerDay", "5s")] * 9, count=3)
    assert "Quota exceeded" in run.stopped
    assert len(run.at) < 3


def test_hours_of_waiting_stop_the_run_at_once() -> None:
    run = Run("openai/m", *[openai("Please try again in 1h2m3s.")] * 9, count=3)
    assert "gives nothing for longer than patience=900 s" in run.stopped
    assert len(run.at) < 3
