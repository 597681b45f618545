"""Every verb of the client, and what lies over what."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from headrace import (
    APIResponse,
    ConfigError,
    Conversation,
    LLMClient,
    Message,
    Model,
    Price,
    RequestContext,
    SamplingParams,
)
from headrace.core.errors import (
    BadRowError,
    GoneError,
    OverloadedError,
    RejectedError,
)
from headrace.testing import Answer, Script
from tests.clients import made, quiet, run, virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from headrace.core.model import Route
    from headrace.testing.provider import Outcome

# What may be asked, and what comes back.


def test_all_forms_of_a_prompt_beside_each_other() -> None:
    rows = run(
        made(Script()),
        [
            "text",
            [{"role": "system", "content": "s"}, {"role": "user", "content": "dicts"}],
            Message("user", "message"),
            Conversation.of("conversation"),
            RequestContext(prompt="context", id="mine", tags={"k": 1}),
            RequestContext(prompt=[{"role": "user", "content": "nested"}]),
        ],
    )
    said = ["text", "dicts", "message", "conversation", "context", "nested"]
    assert [row.completion for row in rows] == [f"echo: {text}" for text in said]
    assert [row.id for row in rows] == ["0", "1", "2", "3", "mine", "5"]
    assert [row.index for row in rows] == [0, 1, 2, 3, 4, 5]
    assert rows[4].tags == {"k": 1}


def test_bad_rows_are_errors_among_good_ones() -> None:
    bad = ["", None, 5, {"role": "user"}, [{"role": "nobody", "content": "x"}], [], "\ud800", b"x"]
    rows = run(made(Script()), ["good", *bad, "good"])
    assert [row.is_error for row in rows] == [False, *[True] * len(bad), False]
    assert {row.error.code for row in rows.failed if row.error} == {"bad_row"}
    assert [row.source for row in rows] == ["provider", *["none"] * len(bad), "provider"]
    assert [row.id for row in rows] == [str(n) for n in range(len(bad) + 2)]
    with pytest.raises(BadRowError):
        rows[1].raise_for_error()


def test_bad_rows_cost_nothing_of_a_limit() -> None:
    async def main(client: LLMClient) -> float:
        began = asyncio.get_running_loop().time()
        await quiet(client, [""] * 500 + ["p"])
        return asyncio.get_running_loop().time() - began

    assert virtual(Script(), main, max_requests_per_minute=60) < 20


def test_completions_alone() -> None:
    script = Script(lambda _c, _r, n: RejectedError("no", status=400) if n == 1 else "yes")
    client = made(script)
    assert client.process_prompts_sync(
        ["a", "b", "c"], return_completions_only=True, show_progress=False
    ) == ["yes", None, "yes"]
    client.close()


def test_every_field_of_an_answer() -> None:
    model = Model(id="openai/big/m", price=Price(input=Decimal(1), output=Decimal(10)))
    script = Script([OverloadedError("busy", status=503), Answer("hi", 2.0, 30, 40, "length")])
    row = virtual(script, lambda client: client.ask("p", deadline=60), models=model)
    assert (row.completion, row.finish_reason, row.is_truncated) == ("hi", "length", True)
    assert (row.model, row.provider, row.route) == ("big/m", "openai", "openai/big/m")
    assert row.usage is not None
    assert (row.usage.input_tokens, row.usage.output_tokens) == (30, 40)
    assert row.cost == pytest.approx(30e-6 + 400e-6)
    assert (row.attempts, row.source, row.is_error) == (2, "provider", False)
    assert row.latency == pytest.approx(2.0)
    assert row.message == Message("assistant", "hi")
    assert row.raise_for_error() is row


def test_without_a_price_the_cost_is_unknown_and_not_nothing() -> None:
    client = made(Script())
    rows = run(client, ["p"])
    assert rows[0].cost is None
    assert client.last_run is not None
    assert "cost unknown" in str(client.last_run.summary)


def test_a_cut_answer_is_counted() -> None:
    client = made(Script([Answer("half", finish_reason="length")]))
    run(client, ["p", "q"])
    assert client.last_run is not None
    assert "1 cut off" in str(client.last_run.summary)


@pytest.mark.parametrize("prompts", ["one", b"two", {"role": "user", "content": "one"}, 5, None])
def test_a_single_prompt_is_not_many(prompts: object) -> None:
    with pytest.raises(ConfigError, match="ask"):
        run(made(Script()), prompts)


def test_nothing_to_do_is_done() -> None:
    assert run(made(Script()), []) == []
    assert run(made(Script()), iter(())) == []


def test_a_client_shows_whom_it_asks_and_no_key() -> None:
    client = made(Script(), ["openai/a", "openai/b"], api_key="sk-secret")
    assert repr(client) == "<LLMClient openai/a, openai/b>"


# Sources.


def test_an_async_source() -> None:
    async def source() -> AsyncIterator[str]:
        for number in range(300):
            await asyncio.sleep(0)
            yield f"p{number}"

    rows = run(made(Script()), source())
    assert [row.completion for row in rows] == [f"echo: p{n}" for n in range(300)]


def test_a_source_that_fails_keeps_what_was_asked() -> None:
    def source() -> Iterator[str]:
        yield "p"
        yield "q"
        msg = "the file is gone"
        raise OSError(msg)

    client = made(Script())
    with pytest.raises(OSError, match="the file is gone"):
        run(client, source())
    assert client.last_run is not None
    assert [row.completion for row in client.last_run.responses] == ["echo: p", "echo: q"]


def test_an_async_source_that_fails() -> None:
    async def source() -> AsyncIterator[str]:
        yield "p"
        msg = "the database is gone"
        raise OSError(msg)

    client = made(Script())
    with pytest.raises(OSError, match="the database is gone"):
        run(client, source())
    assert client.last_run is not None
    assert len(client.last_run.responses.succeeded) == 1


def test_a_source_is_drawn_as_it_is_needed() -> None:
    drawn: list[int] = []

    def source() -> Iterator[str]:
        for number in range(10_000):
            drawn.append(number)
            yield f"p{number}"

    async def main(client: LLMClient) -> int:
        async with client.process_stream(source()) as rows:
            async for _ in rows:
                return len(drawn)
        return 0

    assert virtual(Script(latency=1.0), main, max_concurrent_requests=10) < 300


# What lies over what.


def asked_for(script_params: list[dict[str, object]]) -> Script:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        script_params.append({} if context.params is None else context.params.given())
        return "a"

    return Script(rule)


def test_parameters_of_the_row_over_the_call_over_the_client() -> None:
    seen: list[dict[str, object]] = []
    client = made(asked_for(seen), sampling_params=SamplingParams(temperature=0.1, seed=1))
    call = SamplingParams(temperature=0.2, max_tokens=5)
    row = RequestContext(prompt="p", params=SamplingParams(temperature=0.3))
    run(client, ["p"])
    run(client, ["p", row], sampling_params=call)
    assert seen == [
        {"temperature": 0.1, "seed": 1},
        {"max_tokens": 5, "temperature": 0.2, "seed": 1},
        {"max_tokens": 5, "temperature": 0.3, "seed": 1},
    ]


def test_extras_of_the_model_the_client_and_the_call_are_merged() -> None:
    seen: list[dict[str, object]] = []
    row = Model(id="openai/m", extra_body={"a": 1, "b": 1, "c": 1}, extra_headers={"x-a": "1"})
    client = made(asked_for(seen), row, sampling_params=SamplingParams(extra_body={"b": 2, "c": 2}))
    run(client, ["p"], sampling_params=SamplingParams(extra_body={"c": 3}))
    assert seen == [{"extra_headers": {"x-a": "1"}, "extra_body": {"a": 1, "b": 2, "c": 3}}]
    with pytest.raises(ConfigError, match="extra_headers: it cannot replace authorization"):
        Model(id="openai/m", extra_headers={"Authorization": "mine"})


def test_one_request_has_the_clients_parameters_and_deadline_too() -> None:
    seen: list[dict[str, object]] = []
    client = made(asked_for(seen), sampling_params=SamplingParams(temperature=0.1))
    own = RequestContext(prompt="p", params=SamplingParams(seed=2), id="x", tags={"t": 1}, index=7)

    async def main() -> APIResponse[Any]:
        async with client:
            return await client.process_single_request(own)

    row = asyncio.run(main())
    assert seen == [{"temperature": 0.1, "seed": 2}]
    assert (row.id, row.tags, row.index) == ("x", {"t": 1}, 7)

    async def late(client: LLMClient) -> APIResponse[Any]:
        first = asyncio.create_task(client.ask("slow", deadline=100))
        await asyncio.sleep(0)
        row = await client.process_single_request(RequestContext(prompt="p"))
        await first
        return row

    script = Script(latency=10.0)
    row = virtual(script, late, deadline=2.0, max_concurrent_requests=1)
    assert row.error is not None
    assert (row.error.code, row.source, row.attempts) == ("deadline", "none", 0)
    refused = virtual(Script([RejectedError("no", status=400)]), lambda client: client.ask("p"))
    assert refused.error is not None
    assert (refused.error.code, refused.source, refused.attempts) == ("rejected", "provider", 1)


def test_ask_returns_what_goes_wrong() -> None:
    async def main(client: LLMClient) -> list[str]:
        rows = [await client.ask(prompt) for prompt in ("a", "b", "c", "")]
        return [row.error.code if row.error else "answered" for row in rows]

    outcomes: list[Any] = [RejectedError("no", status=400), GoneError("401"), "fine"]
    assert virtual(Script(outcomes), main) == ["rejected", "no_route", "answered", "bad_row"]


def test_one_context_may_be_asked_like_any_prompt() -> None:
    async def main(client: LLMClient) -> list[tuple[str, str | None]]:
        row = RequestContext(prompt="p", id="mine", model="openai/other")
        rows = [await client.ask(row), await client.process_single_request(row)]
        return [(each.id, each.model) for each in rows]

    assert virtual(Script(), main) == [("mine", "other")] * 2
