"""A run of three rows, the middle one of which meets a bad reply; for every file here.

A bad reply becomes a typed error or the answer that it still is; it is sent again or not by its
class; it never hangs, never ends the run (unless it closes the last route), never touches another
row. The groups are those of the list of bad inputs that the engine was built against: 1-18 bodies,
23-32 headers and transport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import orjson
import pytest

from headrace import APIResponse, LLMClient
from headrace.core.errors import NoRouteError, ProviderError
from headrace.testing import FakeServer, HurriedClock, RequestSeen, run_hurried

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.testing.faults import Fault

Dialect: TypeAlias = Literal["openai", "anthropic"]
PROMPTS: Final = ["good 0", "bad", "good 2"]
ATTEMPTS: Final = 2

# How often a row is sent that always meets the same error, with max_attempts=2.
SENDS: Final = {
    "unreadable_reply": ATTEMPTS,
    "outcome_unknown": ATTEMPTS,
    # The first one is forgiven.
    "connection_lost": ATTEMPTS + 1,
    "overloaded": ATTEMPTS,
    "not_sent": ATTEMPTS,
    "rate_limited": ATTEMPTS * 8,
    "rejected": 1,
    "too_long": 1,
    "filtered": 1,
    "stops": 1,
}


class Run:
    """``fault`` is met ``times`` times (None: always); time runs ``rate`` times as fast."""

    def __init__(
        self, fault: Fault, dialect: Dialect, *, times: int | None, seconds: float, rate: int
    ) -> None:
        self.fault = fault
        self.dialect = dialect
        self.times = times
        self.seconds = seconds
        self.clock = HurriedClock(rate)
        self.sent_at: list[int] = []
        self.stopped: NoRouteError | None = None
        self.responses: list[APIResponse[Any]] = []

    def plan(self, seen: RequestSeen) -> Fault | None:
        if seen.prompt != "bad":
            return None
        self.sent_at.append(self.clock.now())
        return self.fault if self.times is None or seen.nth < self.times else None

    async def play(self) -> FakeServer:
        async with FakeServer(faults=self.plan, keep=100) as server:
            url = server.base_url if self.dialect == "openai" else server.anthropic_url
            async with LLMClient(
                f"{self.dialect}/m",
                base_url=url,
                max_attempts=ATTEMPTS,
                max_concurrent_requests=1,
                request_timeout=self.seconds,
                clock=self.clock,
            ) as client:
                try:
                    await client.process_prompts_async(PROMPTS, show_progress=False)
                except NoRouteError as error:
                    self.stopped = error
                assert client.last_run is not None
                self.responses = list(client.last_run.responses)
        return server


def meet(
    fault: Fault,
    outcome: str,
    dialect: Dialect,
    *,
    times: int | None = None,
    quiet: float = 0.0,
    seconds: float = 100.0,
    rate: int = 50,
    **holds: object,
) -> None:
    """One run, and all that has to be true after it.

    ``outcome`` is ``"answer"``, ``"stops"``, or the code of an error; ``holds`` are fields of the
    answer, ``quiet`` how many seconds the client waits at least before it sends again, ``seconds``
    its time-out.
    """
    run = Run(fault, dialect, times=times, seconds=seconds, rate=rate)
    server = run_hurried(run.play(), run.clock)
    by_id = {response.index: response for response in run.responses}
    _check_good_row(by_id[0], server)
    if outcome == "stops":
        assert run.stopped is not None
        assert sorted(by_id) == [0]
        assert server.counts == {"good 0": 1, "bad": 1}
        return
    assert run.stopped is None
    _check_good_row(by_id[2], server)
    assert server.counts["bad"] == by_id[1].attempts
    if outcome != "answer":
        _check_error(by_id[1], outcome)
        return
    _check_answer(by_id[1], holds)
    assert by_id[1].attempts == 1 + (times or 0)
    if times:
        first, second = run.sent_at
        assert (second - first) / 1e9 >= quiet


def _check_good_row(good: APIResponse[Any], server: FakeServer) -> None:
    assert good.completion == f"echo: good {good.index}"
    assert good.attempts == server.counts[f"good {good.index}"] == 1


def _check_answer(response: APIResponse[Any], holds: dict[str, object]) -> None:
    assert response.error is None
    assert response.completion is not None
    assert {name: getattr(response, name) for name in holds} == holds


def _check_error(response: APIResponse[Any], code: str) -> None:
    error = response.error
    assert isinstance(error, ProviderError)
    assert error.code == code
    assert response.completion is None
    assert response.attempts == SENDS[code]
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    orjson.dumps(error.to_dict())


@pytest.fixture(name="meet")
def _meet() -> Callable[..., None]:
    return meet
