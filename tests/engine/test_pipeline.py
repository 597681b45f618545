"""One request from left to right: who answers it, and what becomes of what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import LLMClient, Model, RequestContext, SamplingParams
from headrace.core.errors import DeadlineError, HeadraceError, OverloadedError, RejectedError
from headrace.core.response import APIResponse, Usage
from headrace.engine.choice import CROWD
from headrace.engine.course import failed
from headrace.engine.fleet import Fleet
from headrace.engine.pipeline import readdress
from headrace.policy.cost import ONE
from headrace.providers.catalog import Catalog
from headrace.registry.resolve import Place
from headrace.testing import Script, VirtualClock, run_virtual, scripted

if TYPE_CHECKING:
    from headrace.core.fingerprint import Key
    from headrace.engine.choice import Choice

NOWHERE: Final = "http://127.0.0.1:1/v1"
ROW: Final = RequestContext(prompt="p", id="mine", index=3, tags={"t": 1})


@pytest.fixture
def fleet() -> Fleet:
    place = Place(base_url=NOWHERE)
    return Fleet(
        place,
        lambda _: 1,
        limits={},
        concurrency=None,
    )


def order(choice: Choice, digest: bytes, occurrence: int = 0) -> list[str]:
    found = choice.in_turn(digest, occurrence)
    return ["+".join(s.route.id for s in each.lanes) for each in found]


def test_interchangeable_models_are_one_set_of_routes(fleet: Fleet) -> None:
    choice = fleet.choice(["openai/a", "openai/b"])
    assert order(choice, b"any") == ["openai/a+openai/b"]


def test_weighted_models_come_one_after_another_each_once(fleet: Fleet) -> None:
    names = ["openai/a", "openai/b", "openai/c"]
    choice = fleet.choice(names, weights=(1.0, 1.0, 1.0))
    drawn = [tuple(order(choice, bytes([n]))) for n in range(60)]
    assert all(sorted(turn) == names for turn in drawn)
    assert len(set(drawn)) == 6
    assert drawn == [tuple(order(choice, bytes([n]))) for n in range(60)]


def test_a_repetition_is_a_draw_of_its_own(fleet: Fleet) -> None:
    choice = fleet.choice(["openai/a", "openai/b"], weights=(1.0, 1.0))
    assert len({tuple(order(choice, b"same", n)) for n in range(20)}) == 2


def test_crowded_is_who_waits_and_not_who_flies(fleet: Fleet) -> None:
    choice = fleet.choice(["openai/a", "openai/b"])
    one, two = choice.lanes
    one.take(0, ONE)
    assert not choice.is_crowded()
    one.waiting, two.waiting = CROWD - 1, 1
    assert choice.is_crowded()


def test_a_failure_keeps_what_is_known_of_it() -> None:
    error = OverloadedError("busy", status=503, usage=Usage(5, 0))
    error.route, error.attempt, error.spent_nanos = "openai/m", 3, 500
    row = failed(ROW, error)
    assert (row.id, row.index, row.tags) == ("mine", 3, {"t": 1})
    assert (row.route, row.attempts, row.cost_nanos, row.usage) == ("openai/m", 3, 500, Usage(5, 0))
    assert row.error is error
    late = failed(ROW, DeadlineError("late"))
    assert (late.attempts, late.usage) == (0, None)


def test_an_answer_for_another_row_is_the_same_answer() -> None:
    known = APIResponse[object](
        id="first", index=0, completion="c", usage=Usage(1, 2), model="m", attempts=2, latency=0.5
    )
    row = readdress(known, ROW, "cache")
    assert (row.id, row.index, row.tags, row.source) == ("mine", 3, {"t": 1}, "cache")
    assert (row.completion, row.usage, row.model) == ("c", Usage(1, 2), "m")
    assert (row.attempts, row.latency) == (2, 0.5)


class Broken:
    """A cache of the caller's own that raises."""

    def __init__(self, *, puts: bool) -> None:
        self.puts = puts

    async def get(self, key: Key) -> APIResponse[object] | None:
        if not self.puts:
            raise LookupError(key)
        return None

    async def put(self, key: Key, response: APIResponse[object]) -> None:
        raise LookupError(key, response)

    async def aclose(self) -> None:
        """Nothing to close."""


def outcome(script: Script, rows: list[Any], **options: Any) -> list[HeadraceError | None]:
    clock = VirtualClock()
    catalog = Catalog({"openai_chat": scripted(script)})
    client = LLMClient("openai/m", base_url=NOWHERE, clock=clock, catalog=catalog, **options)

    async def main() -> list[HeadraceError | None]:
        async with client:
            done = await client.process_prompts_async(rows, show_progress=False)
            return [row.error for row in done]

    return run_virtual(main, clock=clock)


@pytest.mark.parametrize("puts", [True, False])
def test_a_broken_cache_costs_hits_and_no_answer(puts: bool) -> None:
    errors = outcome(Script(), ["p", "q"], cache=Broken(puts=puts), coalesce=False)
    assert errors == [None, None]


def test_a_key_that_cannot_be_made_is_the_rows_error() -> None:
    class Odd:
        """Nothing that JSON knows."""

    odd = SamplingParams(extra_body={"x": Odd()})
    rows = [RequestContext(prompt="p", params=odd), "q"]
    errors = outcome(Script(), rows, cache="memory")
    assert [error.code if error else None for error in errors] == ["bad_row", None]


def test_a_weight_of_zero_is_never_drawn(fleet: Fleet) -> None:
    choice = fleet.choice([Model(id="openai/a"), "openai/b"], weights=(0.0, 1.0))
    assert order(choice, b"x") == ["openai/b"]


def test_failures_of_rows_do_not_stop_the_others() -> None:
    script = Script([RejectedError("no", status=400)])
    errors = outcome(script, ["p", "q"], coalesce=True, max_concurrent_requests=1)
    assert [error.code if error else None for error in errors] == ["rejected", None]
