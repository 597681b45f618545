"""A model that calls tools: rounds, results, what goes wrong, and going on after a kill."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from pydantic import BaseModel

from headrace import (
    APIResponse,
    ConfigError,
    Conversation,
    Image,
    LLMClient,
    Message,
    RequestContext,
    SamplingParams,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    ToolRun,
    Usage,
    VendorTool,
    errors,
)
from headrace.testing import Answer
from tests.clients import check_nothing_is_held, made
from tests.turns import Rounds, asking

PNG: Final = b"\x89PNG\r\n\x1a\n0123"


def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


def test_a_tool_is_called_and_its_result_told() -> None:
    rounds = Rounds(asking(("add", '{"left": 2, "right": 3}')), "It is 5.")
    run = rounds.run([add])
    assert (run.response.completion, run.is_complete, len(run.rounds)) == ("It is 5.", True, 2)
    assert rounds.results() == (ToolResult("c0", "5", "add"),)
    assert [m.role for m in run.conversation.messages] == ["user", "assistant", "tool", "assistant"]
    assert run.conversation.messages[1].parts == run.rounds[0].tool_calls
    assert rounds.asked[1].tools == rounds.asked[0].tools
    assert run.raise_for_error() is run


def test_tokens_and_costs_are_sums() -> None:
    first = Answer("", input_tokens=5, output_tokens=1, tool_calls=(ToolCall("a", "add", "{}"),))
    run = Rounds(first, Answer("x", input_tokens=9, output_tokens=2)).run([add])
    assert run.usage == Usage(14, 3)
    assert run.cost is None
    known = tuple(APIResponse[Any](cost_nanos=n) for n in (1_000_000_000, 500_000_000))
    assert ToolRun(known, Conversation(), is_complete=True).cost == 1.5
    refused = APIResponse[Any](error=errors.RejectedError("no", status=400), attempts=1)
    assert ToolRun((*known, refused), Conversation(), is_complete=False).cost == 1.5
    lost = replace(refused, error=errors.TruncatedError("cut"), uncertain_attempts=1)
    assert ToolRun((*known, lost), Conversation(), is_complete=False).cost is None


def test_calls_of_one_turn_are_made_at_the_same_time() -> None:
    meeting = threading.Barrier(12, timeout=20)
    met = asyncio.Event()

    def in_thread() -> str:
        meeting.wait()
        return "thread"

    def as_well() -> str:
        meeting.wait()
        return "other"

    async def here() -> str:
        await met.wait()
        return "here"

    async def there() -> None:
        met.set()

    names = ("in_thread", "here", *["as_well"] * 11, "there")
    rounds = Rounds(asking(*((name, "") for name in names)), "done")
    rounds.run([in_thread, as_well, here, there])
    said = [result.content for result in rounds.results()]
    assert said == ["thread", "here", *["other"] * 11, "null"]


class Point(BaseModel):
    x: int


@dataclass
class Pair:
    a: int


LOOP: Final[list[object]] = []
LOOP.append(LOOP)
IMAGE: Final = Image.from_bytes(PNG)
GIVEN: Final[dict[str, tuple[object, object, bool]]] = {
    "text": ("rain", "rain", False),
    "nothing": (None, "null", False),
    "dict": ({"a": [1, "é"]}, '{"a":[1,"é"]}', False),
    "model": (Point(x=1), '{"x":1}', False),
    "models": ([Point(x=1)], '[{"x":1}]', False),
    "dataclass": (Pair(1), '{"a":1}', False),
    "not a number": (float("nan"), '"NaN"', False),
    "image": (IMAGE, (IMAGE,), False),
    "parts": (["see", IMAGE], (Text("see"), IMAGE), False),
    "result": (ToolResult("x", "no", is_error=True), "no", True),
    "no JSON": (object(), "ValueError: what the tool gave back cannot be written as JSON", True),
    "a loop": (LOOP, "ValueError: what the tool gave back cannot be written as JSON", True),
    "a surrogate": ("\ud800", "BadRowError: the text holds a lone surrogate", True),
    "parts and others": ([IMAGE, 5], "BadRowError: the content of a tool result must be", True),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_a_tool_gives_is_told(name: str) -> None:
    value, content, is_error = GIVEN[name]

    def give() -> object:
        return value

    rounds = Rounds(asking(("give", "{}")), "done")
    assert rounds.run([give]).is_complete
    [result] = rounds.results()
    assert (result.id, result.name, result.is_error) == ("c0", "give", is_error)
    said = result.content
    assert said[: len(content)] == content if isinstance(content, str) else said == content


async def fall() -> None:
    msg = "it fell"
    raise OSError(msg)


def stop() -> None:
    raise StopIteration


async def leave() -> None:
    raise asyncio.CancelledError


WRONG: Final[dict[str, tuple[str, str, str]]] = {
    "arguments": ("add", '{"left": "x"}', "the arguments of add are wrong: left: Input should be"),
    "no JSON": ("add", '{"left"', "the arguments of add are wrong: the arguments are not JSON"),
    "unknown": ("sub", "{}", "there is no tool sub; there are: add, fall, stop, leave"),
    "raises": ("fall", "{}", "OSError: it fell"),
    "stops": ("stop", "{}", "RuntimeError: coroutine raised StopIteration"),
    "cancels itself": ("leave", "{}", "leave was cancelled"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_is_told_to_the_model(name: str) -> None:
    called, arguments, said = WRONG[name]
    rounds = Rounds(asking((called, arguments)), "I see.")
    assert rounds.run([add, fall, stop, leave]).response.completion == "I see."
    [result] = rounds.results()
    assert result.is_error
    assert result.text.startswith(said)


def test_what_a_tool_raises_is_raised_where_that_is_wanted() -> None:
    rounds = Rounds(asking(("fall", ""), ("add", '{"left": 1, "right": 1}')), "never")
    with pytest.raises(OSError, match="it fell"):
        rounds.run([add, fall], raise_errors=True)
    assert len(rounds.asked) == 1


def test_rounds_are_bounded_and_that_is_no_error() -> None:
    rounds = Rounds(*[asking(("add", '{"left": 1, "right": 1}'))] * 3)
    run = rounds.run([add], max_rounds=3)
    assert (run.is_complete, len(run.rounds), run.response.is_error) == (False, 3, False)
    assert run.conversation.messages[-1].parts == run.response.tool_calls


def test_a_failed_request_ends_the_run_with_its_error() -> None:
    refused = errors.RejectedError("no", status=400)
    run = Rounds(asking(("add", '{"left": 1, "right": 1}')), refused).run([add])
    assert (run.is_complete, run.response.error is not None, len(run.rounds)) == (False, True, 2)
    with pytest.raises(errors.RejectedError):
        run.raise_for_error()


def test_a_prompt_that_cannot_be_asked_is_an_error_too() -> None:
    run = Rounds().run([add], prompt="")
    assert (run.is_complete, run.response.error.code) == (False, "bad_row")  # type: ignore[union-attr]  # it failed


def test_a_paused_turn_is_sent_back() -> None:
    paused = Answer("Searching.", finish_reason="other", metadata={"finish_reason": "pause_turn"})
    rounds = Rounds(paused, "Found.")
    run = rounds.run([VendorTool("web_search")])
    assert run.response.completion == "Found."
    assert rounds.asked[1].conversation.messages[-1] == Message.assistant("Searching.")
    assert not Rounds(paused, paused).run([], max_rounds=2).is_complete


class Order(BaseModel):
    """An order."""

    item: str


def test_calls_without_a_function_are_left_to_the_caller() -> None:
    called: list[int] = []

    def note() -> None:
        called.append(1)

    rounds = Rounds(asking(("note", ""), ("Order", '{"item": "x"}')))
    run = rounds.run([note, Order])
    assert (run.is_complete, len(run.response.tool_calls), called) == (False, 2, [])
    order = Tool.of(Order)
    assert isinstance(order, Tool)
    assert order.read(run.response.tool_calls[1].arguments) == {"item": "x"}


@pytest.mark.parametrize(("name", "kind"), [("computer", "function"), ("", "computer_call")])
def test_a_vendors_tool_may_be_played_here(name: str, kind: str) -> None:
    def act(action: str) -> Image:
        assert action == "screenshot"
        return IMAGE

    rounds = Rounds(asking((name, '{"action": "screenshot"}'), kind=kind), "A desk.")
    assert rounds.run([VendorTool("computer_use", call=act)]).is_complete
    assert rounds.results()[0].content == (IMAGE,)
    alone = Rounds(asking((name, '{"action": "screenshot"}'), kind=kind))
    assert not alone.run([VendorTool("computer_use")]).is_complete


def test_a_forced_choice_holds_for_the_first_round() -> None:
    for forced in ("required", "add"):
        rounds = Rounds(asking(("add", '{"left": 1, "right": 1}')), "2")
        rounds.run([add], sampling_params=SamplingParams(tool_choice=forced, seed=1))
        chosen = [asked.params.tool_choice for asked in rounds.asked if asked.params]
        assert chosen == [forced, "auto"]
        assert rounds.asked[1].params.seed == 1  # type: ignore[union-attr]  # given above


def test_each_response_is_handed_over() -> None:
    seen: list[str | None] = []

    async def keep(response: APIResponse[Any]) -> None:
        seen.append(response.finish_reason)

    Rounds(asking(("add", "{}")), "x").run([add], on_round=keep)
    assert seen == ["tool", "stop"]


def test_a_context_brings_its_own_tools_and_id() -> None:
    rounds = Rounds(asking(("add", '{"left": 1, "right": 1}')), "2")
    run = rounds.run(None, prompt=RequestContext(prompt="p", id="a", tools=(add,)))  # type: ignore[arg-type]  # read when it is made
    assert (run.is_complete, [r.id for r in run.rounds]) == (True, ["a", "a"])


def test_an_answer_in_a_shape_comes_at_the_end() -> None:
    rounds = Rounds(asking(("add", '{"left": 1, "right": 1}')), '{"item": "2"}')
    run = rounds.run([add], output_schema=Order)
    assert run.response.parsed == Order(item="2")
    assert run.rounds[0].parsed is None


@pytest.mark.parametrize("most", [0, -1, 2.5, True, "3"])
def test_a_wrong_bound_is_refused(most: object) -> None:
    with pytest.raises(ConfigError, match="max_rounds must be a whole number above zero"):
        Rounds().run([add], max_rounds=most)


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(TypeError, match="max_round is no option of this call"):
        Rounds().run([add], max_round=3)


def test_the_sync_form_is_the_same() -> None:
    rounds = Rounds(asking(("add", '{"left": 2, "right": 3}')), "5")
    with made(rounds.script) as client:
        assert client.run_tool_loop_sync("p", tools=[add]).response.completion == "5"


def test_cancelling_leaves_no_tool_running() -> None:
    may_end, ended = threading.Event(), list[str]()

    def slow() -> None:
        may_end.wait(20)
        ended.append("thread")

    async def main(client: LLMClient) -> None:
        waiting = asyncio.Event()

        async def waits() -> None:
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("coroutine")

        loop = client.run_tool_loop("p", tools=[slow, waits])
        running = asyncio.ensure_future(loop)
        await waiting.wait()
        running.cancel()
        asyncio.get_running_loop().call_later(0.01, may_end.set)
        with pytest.raises(asyncio.CancelledError):
            await running
        assert sorted(ended) == ["coroutine", "thread"]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        check_nothing_is_held(client)

    async def real() -> None:
        async with made(Rounds(asking(("slow", ""), ("waits", ""))).script) as client:
            await main(client)

    asyncio.run(real())
