"""Answers in a shape: typed values, bad answers asked again, and what cache and journal give."""

from __future__ import annotations

import asyncio
import sys
import typing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from pydantic import BaseModel, field_validator

from headrace import (
    APIResponse,
    ConfigError,
    LLMClient,
    Message,
    Model,
    OutputSchema,
    Price,
    ProviderRequest,
    RequestContext,
    Usage,
    chunks,
    errors,
)
from headrace.providers.catalog import Catalog
from headrace.testing import Answer, Script
from headrace.testing.provider import prompt_of
from tests.clients import NOWHERE, check_nothing_is_held, made, quiet, run, virtual

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from headrace.core.model import Route
    from headrace.testing.provider import Outcome


class City(BaseModel):
    name: str
    people: int


GOOD: Final = '{"name": "Oslo", "people": 7}'
BAD: Final = '{"name": "Oslo", "people": "many"}'
OSLO: Final = City(name="Oslo", people=7)
PRICED: Final = Model(id="openai/m", price=Price(input=Decimal(1), output=Decimal(1)))


class Seen:
    """A script that keeps what was sent, and to which model."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = outcomes
        self.asked: list[RequestContext] = []
        self.models: list[str] = []
        self.script = Script(self._next)

    def _next(self, context: RequestContext, route: Route, n: int) -> Outcome:
        self.asked.append(context)
        self.models.append(route.model.name)
        return self.outcomes[n]

    def ask(self, schema: object = City, **options: Any) -> APIResponse[Any]:
        async def main(client: LLMClient) -> APIResponse[Any]:
            response = await client.ask("Oslo?", output_schema=schema)
            check_nothing_is_held(client)
            return response

        return virtual(self.script, main, **options)


def test_an_answer_comes_as_a_value() -> None:
    response = Seen(f"Here:\n```json\n{GOOD}\n```").ask()
    assert (response.parsed, response.attempts) == (OSLO, 1)
    assert response.completion is not None
    assert response.completion.startswith("Here:")


def test_a_bad_answer_is_asked_again_with_what_is_wrong() -> None:
    seen = Seen(
        Answer(BAD, input_tokens=10, output_tokens=20),
        Answer("Oslo!", input_tokens=30, output_tokens=40),
        Answer(GOOD, input_tokens=50, output_tokens=60),
    )
    response = seen.ask(models=PRICED)
    assert (response.parsed, response.attempts) == (OSLO, 3)
    assert response.usage == Usage(50, 60)
    assert response.cost == pytest.approx((10 + 20 + 30 + 40 + 50 + 60) / 1e6)
    asked, said, problem = seen.asked[1].conversation.messages
    assert (asked.text, said) == ("Oslo?", Message.assistant(BAD))
    assert "people: Input should be a valid integer" in problem.text
    second = seen.asked[2].conversation.messages
    assert [m.text for m in second[:2]] == ["Oslo?", "Oslo!"]
    assert "it is not JSON" in second[2].text
    assert len(second) == 3


def test_it_is_given_up_when_the_attempts_have_run_out() -> None:
    seen = Seen(*[Answer(BAD, input_tokens=1, output_tokens=1)] * 3)
    response = seen.ask(models=PRICED, max_attempts=3)
    error = response.error
    assert isinstance(error, errors.InvalidOutputError)
    assert (error.said, error.attempt, len(error.history)) == (BAD, 3, 2)
    assert "people" in error.problem
    assert response.attempts == 3
    assert response.cost == pytest.approx(6e-6)


def test_an_answer_that_was_cut_off_is_paid_for_once() -> None:
    cut = Answer('{"name": "Os', input_tokens=1, output_tokens=50, finish_reason="length")
    seen = Seen(*[cut] * 5)
    response = seen.ask(models=PRICED)
    assert isinstance(response.error, errors.CutOffError)
    assert isinstance(response.error, errors.InvalidOutputError)
    assert "raise max_tokens" in response.error.message
    assert "max_output_tokens of the model's row" in response.error.message
    assert response.error.said == '{"name": "Os'
    assert response.attempts == 1
    assert response.cost == pytest.approx(51e-6)


def test_an_answer_that_was_cut_off_after_its_end_is_one() -> None:
    seen = Seen(Answer(f"{GOOD}\n\n", finish_reason="length"))
    assert seen.ask().parsed == OSLO


def test_an_answer_that_a_filter_cut_off_is_no_misshapen_one() -> None:
    response = Seen(Answer('{"name": "Os', finish_reason="filtered")).ask()
    assert isinstance(response.error, errors.ContentFilterError)
    assert (response.attempts, response.error.history) == (1, ())


@pytest.mark.parametrize(
    "between",
    [errors.OverloadedError("busy"), errors.RateLimitError("slow down"), errors.NotSentError("no")],
    ids=lambda error: error.code,
)
def test_what_is_wrong_is_told_though_another_failure_came_between(
    between: errors.ProviderError,
) -> None:
    seen = Seen(BAD, between, GOOD)
    assert seen.ask().parsed == OSLO
    assert seen.asked[2].conversation.messages[1] == Message.assistant(BAD)


def test_a_bad_answer_that_is_no_unicode_can_be_asked_again() -> None:
    error = errors.InvalidOutputError("no")
    error.said, error.problem = '"\ud800"', "\ud800 is odd"
    again = RequestContext(prompt="p").after(error, counted=True).with_feedback()
    assert [m.text for m in again.conversation.messages[:2]] == ["p", '"?"']


def test_another_model_is_asked_where_there_is_one() -> None:
    seen = Seen(BAD, GOOD)
    response = seen.ask(models=["openai/a", "openai/b"])
    assert (response.parsed, response.attempts, sorted(seen.models)) == (OSLO, 2, ["a", "b"])
    assert seen.asked[1].conversation.messages[1] == Message.assistant(BAD)


def test_weighted_models_give_way_too() -> None:
    seen = Seen(BAD, GOOD)
    response = seen.ask(models=["openai/a", "openai/b"], model_weights=[1, 1])
    assert (response.parsed, sorted(seen.models)) == (OSLO, ["a", "b"])


def test_bad_answers_harm_no_route() -> None:
    async def main(client: LLMClient) -> tuple[Any, APIResponse[Any]]:
        bad = await quiet(client, ["p"] * 50, output_schema=City)
        return bad, await client.ask("fine")

    script = Script(lambda context, *_: BAD if context.output_schema else "yes")
    bad, fine = virtual(script, main, max_attempts=2)
    assert {r.error.code for r in bad} == {"invalid_output"}
    assert (fine.completion, fine.attempts) == ("yes", 1)


def test_equal_requests_share_an_answer_and_not_its_value() -> None:
    client = made(Script([Answer(GOOD, latency=0.01)]), coalesce=True)
    first, second = run(client, ["p", "p"], output_schema=City)
    assert {first.source, second.source} == {"provider", "coalesced"}
    assert first.parsed == second.parsed == OSLO
    assert first.parsed is not second.parsed


def test_what_was_answered_at_last_is_in_the_cache_with_its_value() -> None:
    async def main(client: LLMClient) -> APIResponse[Any]:
        await client.ask("p", output_schema=City)
        return await client.ask("p", output_schema=City)

    script = Script([BAD, GOOD])
    response = virtual(script, main, cache="memory")
    assert (response.parsed, response.source, len(script.calls)) == (OSLO, "cache", 2)


def test_a_journal_gives_values(tmp_path: Path) -> None:
    journal, script = tmp_path / "j", Script()
    [first] = run(made(Script([BAD, GOOD])), ["p"], output_schema=City, journal=journal)
    [second] = run(made(script), ["p"], output_schema=City, journal=journal)
    assert first.parsed == second.parsed == OSLO
    assert (second.source, script.calls) == ("journal", [])


def stricter() -> type[BaseModel]:
    """Another type with the very same JSON schema."""

    class City(BaseModel):
        name: str
        people: int

        @field_validator("people")
        @classmethod
        def _many(cls, value: int) -> int:
            if value < 1000:
                msg = "too few"
                raise ValueError(msg)
            return value

    return City


MANY: Final = '{"name": "Oslo", "people": 7000}'


@pytest.mark.parametrize("kept", ["cache", "journal"])
def test_what_does_not_fit_a_changed_type_is_asked_again(kept: str, tmp_path: Path) -> None:
    schema = stricter()
    assert OutputSchema.of(schema) == OutputSchema.of(City)
    path: dict[str, Any] = {kept: tmp_path / kept}
    settings, options = (path, {}) if kept == "cache" else ({}, path)
    run(made(Script([GOOD]), **settings), ["p"], output_schema=City, **options)
    script = Script([MANY])
    [response] = run(made(script, **settings), ["p"], output_schema=schema, **options)
    assert (response.source, response.parsed) == ("provider", schema(name="Oslo", people=7000))
    [again] = run(made(Script(), **settings), ["p"], output_schema=schema, **options)
    assert (again.source, again.parsed) == (kept, response.parsed)


def test_a_row_brings_a_schema_of_its_own() -> None:
    rows = [
        RequestContext(prompt="a", output_schema=list[int]),  # type: ignore[arg-type]  # read when it is made
        RequestContext(prompt="b"),
    ]
    script = Script(lambda context, *_: GOOD if context.index else "[1]")
    first, second = run(made(script), rows, output_schema=City)
    assert (first.parsed, second.parsed) == ([1], OSLO)


def test_a_wrong_schema_is_refused_before_anything_is_sent() -> None:
    script = Script()
    with made(script) as client, pytest.raises(ConfigError, match="output_schema must be a type"):
        client.ask_sync("p", output_schema=7)
    with pytest.raises(errors.BadRowError, match="the JSON schema is none"):
        RequestContext(prompt="c", output_schema={"type": "nothing"})  # type: ignore[arg-type]  # what is under test
    assert script.calls == []


class Streamed(ProviderRequest):
    """Answers with the prompt, as a stream."""

    __slots__ = ()

    async def execute_once(self) -> APIResponse[object]:
        return APIResponse(completion=prompt_of(self.context), finish_reason="stop")

    async def stream_once(self) -> AsyncGenerator[chunks.Chunk]:
        answer = await self.execute_once()
        yield chunks.TextChunk(answer.completion or "")
        yield chunks.EndChunk(answer)


def test_a_streamed_answer_ends_with_its_value() -> None:
    catalog = Catalog({"openai_chat": Streamed})
    with LLMClient("openai/m", base_url=NOWHERE, catalog=catalog) as client:
        *_, end = client.stream_tokens_sync(GOOD, output_schema=City)
        assert isinstance(end, chunks.EndChunk)
        assert end.response.parsed == OSLO
        with pytest.raises(errors.InvalidOutputError, match="it is not JSON") as caught:
            list(client.stream_tokens_sync("hello", output_schema=City))
    assert caught.value.arrived == "hello"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="newer ones take typing's own")
def test_the_typed_dict_that_pydantic_cannot_read_says_what_to_do() -> None:
    class Row(typing.TypedDict):
        a: int

    with pytest.raises(ConfigError, match="use `typing_extensions"):
        OutputSchema.of(Row)


class Stumbling(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return {"Oslo": "Oslo"}[value]  # pydantic lets a KeyError through


def test_a_validator_that_stumbles_loses_no_paid_answer(tmp_path: Path) -> None:
    seen = Seen('{"name": "Rome"}', '{"name": "Oslo"}')

    async def main(client: LLMClient) -> None:
        [response] = await quiet(client, ["Oslo?"], output_schema=Stumbling, journal=tmp_path / "j")
        assert response.parsed == Stumbling(name="Oslo")
        assert response.attempts == 2
        assert response.usage is not None
        assert response.cost_nanos == (1 + 2 + response.usage.total_tokens) * 1_000

    virtual(seen.script, main, models=PRICED)
    last = seen.asked[1].failures[0]
    assert isinstance(last, errors.InvalidOutputError)
    assert last.problem == "KeyError: 'Rome'"
    assert b"Rome" in (tmp_path / "j").read_bytes()


def test_who_shares_an_answer_gets_a_value_of_its_own_type_though_its_sender_left() -> None:
    class Same(BaseModel):
        model_config = {"title": "City"}
        name: str
        people: int

    Same.__name__ = "City"
    script = Script([Answer(GOOD, 2.0)])

    async def main(client: LLMClient) -> None:
        sender = asyncio.create_task(client.ask("Oslo?", output_schema=City))
        await asyncio.sleep(0.5)
        other = asyncio.create_task(client.ask("Oslo?", output_schema=Same))
        await asyncio.sleep(0.5)
        sender.cancel()
        response = await other
        assert isinstance(response.parsed, Same)
        check_nothing_is_held(client)

    virtual(script, main, coalesce=True)
    assert len(script.calls) == 1
