"""A run's journal as the pipeline sees it: what it recalls is what was returned, or nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import Model, RequestContext
from headrace.core.errors import ReplyError
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage
from headrace.engine.course import failed
from headrace.engine.journal import Journal
from headrace.engine.memory import RunMemory
from headrace.registry.resolve import Place, route
from headrace.testing.disk import FaultyDisk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.model import Route

PATH: Final = Path("run.journal")
ROW: Final = RequestContext(prompt="p", id="mine", index=3)
REPLY: Final = Reply(200, b'{"said": "hi"}', {})
ROUTE: Final = route(Model(id="openai/m"), Place(base_url="http://127.0.0.1:1/v1"))
ANSWER: Final = APIResponse[object](
    completion="hi", usage=Usage(1, 2), model="m", provider="openai", route="openai/m", attempts=2,
    latency=0.5, cost_nanos=7, reply=REPLY,
)  # fmt: skip


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object] | None:
    del context, route
    if reply.body == b"old":
        return None
    if reply.body != REPLY.body:
        raise ReplyError("unreadable", reply=reply)
    return APIResponse(completion="hi", usage=Usage(1, 2), model="m")


@pytest.fixture
def journal() -> Iterator[Journal]:
    opened = Journal.open(PATH, disk=FaultyDisk())
    yield opened
    opened.close()


def memory(journal: Journal, *models: str, knows: bool = True) -> RunMemory:
    return RunMemory(
        journal, models or ("openai/m",), lambda name: ROUTE if knows and name else None, decode
    )


def record(journal: Journal, response: APIResponse[Any], reply: Reply | None = REPLY) -> None:
    async def write() -> None:
        await memory(journal).record(ROW, ROW.key).answer(response, reply)

    asyncio.run(write())


def test_what_was_recorded_comes_back_with_what_the_reply_does_not_say(journal: Journal) -> None:
    record(journal, ANSWER)
    known = memory(journal).recall(ROW, ROW.key)
    assert known is not None
    assert (known.id, known.index, known.source) == ("mine", 3, "journal")
    assert (known.completion, known.usage, known.model) == ("hi", Usage(1, 2), "m")
    assert (known.route, known.provider) == ("openai/m", "openai")
    assert (known.attempts, known.latency, known.cost_nanos) == (2, 0.5, 7)


def test_an_answer_without_a_reply_is_kept_as_a_value(journal: Journal) -> None:
    record(journal, ANSWER, None)
    known = memory(journal, knows=False).recall(ROW, ROW.key)
    assert known is not None
    assert (known.completion, known.attempts, known.cost_nanos) == ("hi", 2, 7)


@pytest.mark.parametrize("body", [b"old", b"broken"])
def test_what_cannot_be_read_again_is_asked_again(journal: Journal, body: bytes) -> None:
    record(journal, ANSWER, Reply(200, body, {}))
    assert memory(journal).recall(ROW, ROW.key) is None


def test_a_route_that_is_no_longer_there_is_asked_again(journal: Journal) -> None:
    record(journal, ANSWER)
    assert memory(journal, knows=False).recall(ROW, ROW.key) is None


def test_another_set_of_models_sample_or_repetition_is_another_row(journal: Journal) -> None:
    record(journal, ANSWER)
    assert memory(journal, "openai/n").recall(ROW, ROW.key) is None
    assert memory(journal, "openai/m", "openai/n").recall(ROW, ROW.key) is None
    for other in (RequestContext(prompt="p", sample=1), RequestContext(prompt="p", occurrence=1)):
        assert memory(journal).recall(other, other.key) is None
    own = RequestContext(prompt="p", model="openai/m")
    assert memory(journal, "openai/x").recall(own, own.key) is not None


def test_a_failure_is_written_down_and_not_recalled(journal: Journal) -> None:
    error = ReplyError("unreadable", status=200, reply=REPLY)
    error.attempt = 4
    run = memory(journal)

    async def fail() -> None:
        place = run.record(ROW, ROW.key)
        await place.intent("openai/m", 1)
        await place.failure("openai/m", 1, error)
        await place.failure("openai/m", 2, ReplyError("no bytes"))
        await run.remember(ROW, ROW.key, failed(ROW, error))

    asyncio.run(fail())
    assert run.recall(ROW, ROW.key) is None
    journal.close()


def test_the_order_of_models_does_not_matter(journal: Journal) -> None:
    async def write() -> None:
        both = memory(journal, "openai/a", "openai/b")
        await both.remember(ROW, ROW.key, ANSWER)

    asyncio.run(write())
    assert memory(journal, "openai/b", "openai/a").recall(ROW, ROW.key) is not None
