"""The scripted provider: answers and errors as written, in virtual time, all on record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import OverloadedError, RateLimitError, ReplyError
from headrace.core.model import Endpoint, Model, Route
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage
from headrace.testing import Answer, Call, Failure, Script, run_virtual, scripted

if TYPE_CHECKING:
    from headrace.providers.base import Exchange
    from headrace.testing.provider import Outcome

ROUTE = Route(Model(id="fake/m"), Endpoint(name="fake", wire="openai_chat"), "http://127.0.0.1")
NO_EXCHANGE = cast("Exchange", None)


async def send(script: Script, prompt: str) -> APIResponse[object]:
    context = RequestContext(prompt=prompt)
    return await scripted(script)(context, ROUTE, NO_EXCHANGE).execute_once()


def test_outcomes_come_in_order_and_then_echoes() -> None:
    script = Script(["first", Answer("second one", 5, 7, 9, "length"), 2.0], latency=1)

    async def main() -> list[APIResponse[object]]:
        return [await send(script, "one two") for _ in range(4)]

    first, second, third, fourth = run_virtual(main)
    assert first.completion == "first"
    assert first.usage == Usage(input_tokens=2, output_tokens=1)
    assert (first.finish_reason, first.model) == ("stop", "m")
    assert second.usage == Usage(input_tokens=7, output_tokens=9)
    assert second.finish_reason == "length"
    assert third.completion == fourth.completion == "echo: one two"
    assert script.calls == [
        Call(0, "one two", "fake/m", 1_000.0, 1),
        Call(1, "one two", "fake/m", 1_001.0, 1),
        Call(2, "one two", "fake/m", 1_006.0, 1),
        Call(3, "one two", "fake/m", 1_008.0, 1),
    ]


def test_errors_are_raised_as_copies_with_all_they_say() -> None:
    error = RateLimitError("slow down", status=429, hint=1.5)
    script = Script([error, error, Failure(OverloadedError("busy", status=503), 3)])

    async def main() -> None:
        caught = []
        for _ in range(2):
            with pytest.raises(RateLimitError, match="slow down") as info:
                await send(script, "hi")
            caught.append(info.value)
        assert len({id(each) for each in [error, *caught]}) == 3
        assert [(e.status, e.hint) for e in caught] == [(429, 1.5)] * 2
        with pytest.raises(OverloadedError):
            await send(script, "hi")
        assert asyncio.get_running_loop().time() == 1_003.0

    run_virtual(main)


def test_a_function_may_decide() -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        return f"{context.name} {route.id} {n}"

    response = run_virtual(send(Script(rule), "hi"))
    assert response.completion == "0 fake/m 0"


def test_what_is_in_flight_is_counted_through_cancellation() -> None:
    script = Script(latency=10)

    async def main() -> None:
        sending = [asyncio.ensure_future(send(script, "hi")) for _ in range(3)]
        await asyncio.sleep(1)
        assert script.in_flight == 3
        sending[0].cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    run_virtual(main)
    assert (script.in_flight, script.in_flight_peak) == (0, 3)
    assert [call.in_flight for call in script.calls] == [1, 2, 3]


def test_its_replies_can_be_replayed() -> None:
    script = Script(["text"])
    response = run_virtual(send(script, "hi"))
    assert response.reply is not None
    again = scripted(script).decode(RequestContext(prompt="hi"), ROUTE, response.reply)
    assert again == response


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"other": 1}'])
def test_other_replies_are_refused(body: bytes) -> None:
    reply = Reply(200, body)
    with pytest.raises(ReplyError, match="not one of a scripted provider") as info:
        scripted(Script()).decode(RequestContext(prompt="hi"), ROUTE, reply)
    assert info.value.reply is reply


def test_a_rule_that_fails_leaves_nothing_in_flight() -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        raise KeyError(context.name, route.id, n)

    script = Script(rule)
    with pytest.raises(KeyError):
        run_virtual(send(script, "hi"))
    assert script.in_flight == 0


def test_a_conversation_without_a_user_has_no_prompt_text() -> None:
    script = Script(["fine"])
    context = RequestContext(prompt=Conversation().system("be kind"))

    async def main() -> None:
        await scripted(script)(context, ROUTE, NO_EXCHANGE).execute_once()

    run_virtual(main)
    assert script.calls[0].prompt == ""
