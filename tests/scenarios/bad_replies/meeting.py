"""A run of three rows, the middle one of which meets a bad reply; for every file here.

A bad reply becomes a typed error or the answer that it still is; it is sent again or not by its
class; it never hangs, never ends the run (unless it closes the last route), never touches another
row. The groups are those of the list of bad inputs that the engine was built against: 1-18 bodies,
23-32 headers and transport.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import orjson
import pytest

from headrace import APIResponse, LLMClient
from headrace.core.errors import NoRouteError, ProviderError
from headrace.testing import FakeServer, HurriedClock, RequestSeen, run_hurried
from headrace.testing.faults import Body, Fault
from headrace.testing.server.dialects import Anthropic, Asked, OpenAI, Said

if TYPE_CHECKING:
    from collections.abc import Sequence

Dialect: TypeAlias = Literal["openai", "anthropic"]
BOTH: Final[tuple[Dialect, ...]] = ("openai", "anthropic")
PROMPTS: Final = ["good 0", "bad", "good 2"]
ATTEMPTS: Final = 2

# Good bodies, and what is made of them.
OPENAI: Final[dict[str, Any]] = OpenAI().answer(
    Asked("fake", "hi", 3, None), Said("fine", False, 1), 1
)
ANTHROPIC: Final[dict[str, Any]] = Anthropic().answer(
    Asked("fake", "hi", 3, None), Said("fine", False, 1), 1
)
WHOLE: Final[dict[Dialect, bytes]] = {
    "openai": orjson.dumps(OPENAI),
    "anthropic": orjson.dumps(ANTHROPIC),
}
PAGE: Final = "<!doctype html><html><head><title>502 Bad Gateway</title></head></html>"
QUOTA: Final = orjson.dumps(
    {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
)

# How often a row is sent that always meets the same error, with max_attempts=2.
SENDS: Final = {
    "unreadable_reply": ATTEMPTS,
    "outcome_unknown": ATTEMPTS,
    # The first one is forgiven.
    "connection_lost": ATTEMPTS + 1,
    "overloaded": ATTEMPTS,
    "page": ATTEMPTS,
    "not_sent": ATTEMPTS,
    "rate_limited": ATTEMPTS * 8,
    "rejected": 1,
    "too_long": 1,
    "filtered": 1,
    "stops": 1,
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast time runs, and the seconds of it that the client waits for one reply.

    A connection may take 30 of these seconds: at a higher rate a busy machine would need longer.
    """

    rate: int = 100
    timeout: float = 500.0


USUAL: Final = Pace()


@dataclass(frozen=True, slots=True)
class Row:
    """A bad reply and what it comes to.

    ``outcome`` is ``"answer"``, ``"stops"``, or the code of an error; ``holds`` are fields of the
    answer; the fault is met ``times`` times (None: always), and ``quiet`` is how many seconds the
    client waits at least before it sends again.
    """

    name: str
    fault: Fault
    outcome: str
    dialects: tuple[Dialect, ...]
    holds: dict[str, object]
    times: int | None = None
    quiet: float = 0.0
    pace: Pace = USUAL


def row(
    name: str,
    fault: Fault | bytes | str,
    outcome: str,
    *dialects: Dialect,
    times: int | None = None,
    quiet: float = 0.0,
    pace: Pace = USUAL,
    **holds: object,
) -> Row:
    """A ``Row`` for both dialects, or those that are named; bytes and text are a body."""
    if isinstance(fault, bytes | str):
        fault = Body(fault if isinstance(fault, bytes) else fault.encode())
    return Row(name, fault, outcome, dialects or BOTH, holds, times, quiet, pace)


def each(table: Sequence[Row]) -> pytest.MarkDecorator:
    """Parametrizes ``row`` and ``dialect`` over a table."""
    return pytest.mark.parametrize(
        ("row", "dialect"),
        [
            pytest.param(row, dialect, id=f"{row.name} {dialect}", marks=pytest.mark.timeout(30))
            for row in table
            for dialect in row.dialects
        ],
    )


def address(server: FakeServer, dialect: Dialect) -> str:
    """The base URL for clients of this dialect."""
    return server.base_url if dialect == "openai" else server.anthropic_url


class Run:
    """What is sent and what comes of it, while time runs as the row says."""

    def __init__(self, row: Row, dialect: Dialect) -> None:
        self.row = row
        self.dialect = dialect
        self.clock = HurriedClock(row.pace.rate)
        self.sent_at: list[int] = []
        self.stopped: NoRouteError | None = None
        self.responses: list[APIResponse[Any]] = []

    def plan(self, seen: RequestSeen) -> Fault | None:
        if seen.prompt != "bad":
            return None
        self.sent_at.append(self.clock.now())
        return self.row.fault if self.row.times is None or seen.nth < self.row.times else None

    async def play(self) -> FakeServer:
        async with (
            FakeServer(faults=self.plan, keep=100) as server,
            LLMClient(
                f"{self.dialect}/m",
                base_url=address(server, self.dialect),
                max_attempts=ATTEMPTS,
                max_concurrent_requests=1,
                request_timeout=self.row.pace.timeout,
                clock=self.clock,
            ) as client,
        ):
            try:
                await client.process_prompts_async(PROMPTS, show_progress=False)
            except NoRouteError as error:
                self.stopped = error
            assert client.last_run is not None
            self.responses = list(client.last_run.responses)
        return server


def meet(row: Row, dialect: Dialect) -> None:
    """One run, and all that has to be true after it."""
    run = Run(row, dialect)
    server = run_hurried(run.play(), run.clock)
    by_index = {response.index: response for response in run.responses}
    _check_good_row(by_index[0], server)
    if row.outcome == "stops":
        assert run.stopped is not None
        assert sorted(by_index) == [0]
        assert server.counts == {"good 0": 1, "bad": 1}
        return
    assert run.stopped is None
    _check_good_row(by_index[2], server)
    assert server.counts["bad"] == by_index[1].attempts
    if row.outcome != "answer":
        _check_error(by_index[1], row.outcome)
        return
    _check_answer(by_index[1], row.holds)
    assert by_index[1].attempts == 1 + (row.times or 0)
    if row.times:
        first, second = run.sent_at
        assert (second - first) / 1e9 >= row.quiet


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
