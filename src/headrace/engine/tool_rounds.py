"""A conversation with tools: ask, call what the answer asks for, give it the results, ask again.

Each round is a request like any other, so limits, retries, cache and journal are those of all
requests. With a journal each result is recorded when its tool has returned, so that a killed
conversation goes on with the very words that the model was given: a tool is called again only if
its result was not recorded.

A call that has no function here (a type or a schema as a tool, a vendor's tool) is the caller's:
the conversation ends there, with nothing of that turn called.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import inspect
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from headrace.core.conversation import Conversation
from headrace.core.errors import BadRowError, RunStoppedError
from headrace.core.params import SamplingParams
from headrace.core.response import APIResponse
from headrace.core.results import dump_result, failed_result, load_result, result_of
from headrace.core.shape import is_paused
from headrace.core.tool_run import ToolRun
from headrace.core.tools import Tool, VendorTool
from headrace.engine.course import failed
from headrace.engine.leaving import is_cancelled
from headrace.engine.listening import hand_over
from headrace.wire import record as codec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headrace.adapters.clock import Clock
    from headrace.core.context import RequestContext
    from headrace.core.parts import ToolCall, ToolResult
    from headrace.core.tools import AnyTool
    from headrace.engine.journal import Journal
    from headrace.engine.pipeline import Pipeline

MOST_THREADS: Final = 32


class ToolRounds:
    """One conversation with tools, from round to round."""

    def __init__(
        self,
        pipeline: Pipeline,
        clock: Clock,
        journal: Journal | None,
        on_round: Callable[[APIResponse[Any]], Awaitable[None] | None] | None,
        *,
        raise_errors: bool,
    ) -> None:
        """``raise_errors``: what a tool raises ends the run, and is not told to the model."""
        self._pipeline = pipeline
        self._clock = clock
        self._journal = journal
        self._on_round = on_round
        self._raises = raise_errors

    async def run(self, context: RequestContext, max_rounds: int) -> ToolRun[Any]:
        """Go on until an answer asks for nothing more, or ``max_rounds`` requests were made."""
        rounds: list[APIResponse[Any]] = []
        while True:
            response = await self._ask(context)
            rounds.append(response)
            if self._on_round is not None:
                await hand_over(self._on_round, response)
            if response.error is not None:
                return ended(rounds, context)
            said, calls = response.message, response.tool_calls
            asked = context
            if said is not None:
                context = replace(context, prompt=context.conversation.add(said))
            is_answer = not calls and not is_paused(response)
            is_last = is_answer or said is None or len(rounds) >= max_rounds
            if is_last or not _are_ours(calls, context.tools):
                return ended(rounds, context, is_complete=is_answer)
            if not calls:
                continue
            try:
                results = await self._results(asked, calls)
            except RunStoppedError as error:
                rounds.append(failed(context, error))
                return ended(rounds, context)
            context = self._next(context, results)

    async def _ask(self, context: RequestContext) -> APIResponse[Any]:
        context = replace(context, born_at=self._clock.now())
        try:
            return await self._pipeline.answer(context)
        except RunStoppedError as error:
            return failed(context, error)

    def _next(self, context: RequestContext, results: tuple[ToolResult, ...]) -> RequestContext:
        params = context.params
        if params is not None and params.tool_choice not in {None, "auto", "none"}:
            # Forced again in each round, a call would never be followed by an answer.
            params |= SamplingParams(tool_choice="auto")
        return replace(context, prompt=context.conversation.tool(*results), params=params)

    async def _results(
        self, context: RequestContext, calls: tuple[ToolCall, ...]
    ) -> tuple[ToolResult, ...]:
        """What all calls of a turn give, made at the same time; left early, none goes on."""
        # Not the loop's own threads: in those the system's names are looked up meanwhile.
        threads = ThreadPoolExecutor(min(len(calls), MOST_THREADS), "headrace-tool")
        works = [
            asyncio.ensure_future(self._result(context, number, call, threads))
            for number, call in enumerate(calls)
        ]
        try:
            return tuple(await asyncio.gather(*works))
        finally:
            for work in works:
                if not work.cancelling():  # a second time would end the waiting for threads
                    work.cancel()
            try:
                await asyncio.gather(*works, return_exceptions=True)
            finally:
                threads.shutdown(wait=False)

    async def _result(
        self, context: RequestContext, number: int, call: ToolCall, threads: Executor
    ) -> ToolResult:
        if self._journal is None:
            return await self._made(context.tools, call, threads)
        row = _row_of(context, number, call)
        found = self._journal.find(row)
        if found is not None and found.value is not None:
            with suppress(ValueError):  # written by another version: it is called again
                return load_result(codec.load(found.value).completion or "")
        result = await self._made(context.tools, call, threads)
        value = codec.dump(APIResponse(completion=dump_result(result)))
        await self._journal.answer(row, "", "", None, value, {"tool": call.name})
        return result

    async def _made(
        self, tools: tuple[AnyTool, ...], call: ToolCall, threads: Executor
    ) -> ToolResult:
        tool = _tool_for(call, tools)
        if tool is None or tool.call is None:
            names = ", ".join(each.name for each in tools if isinstance(each, Tool)) or "none"
            return failed_result(call, f"there is no tool {call.name}; there are: {names}")
        try:
            arguments = tool.read(call.arguments)
        except ValueError as error:
            return failed_result(call, f"the arguments of {call.name} are wrong: {error}")
        try:
            return result_of(call, await _called(tool.call, arguments, threads))
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            return failed_result(call, f"{call.name} was cancelled")
        except Exception as error:
            if self._raises:
                raise
            return failed_result(call, f"{type(error).__name__}: {error}")


def ended(
    rounds: Sequence[APIResponse[Any]], context: RequestContext, *, is_complete: bool = False
) -> ToolRun[Any]:
    """What came of it, as far as it went."""
    try:
        said = context.conversation
    except BadRowError:
        said = Conversation()  # the prompt was none, as the response's error says
    return ToolRun(tuple(rounds), said, is_complete)


def _tool_for(call: ToolCall, tools: tuple[AnyTool, ...]) -> AnyTool | None:
    for tool in tools:
        if isinstance(tool, Tool) and tool.name == call.name:
            return tool
    return next((t for t in tools if isinstance(t, VendorTool) and _is_call_of(t, call)), None)


def _is_call_of(tool: VendorTool, call: ToolCall) -> bool:
    """Is it a call of this vendor's tool?

    "computer_use" is called "computer", or has the kind "computer_call"; others are called by the
    name in their options.
    """
    word = tool.kind.partition("_")[0]
    is_named = call.name in {tool.kind, word, tool.settings.get("name")}
    return is_named or call.kind.partition("_")[0] == word


def _are_ours(calls: tuple[ToolCall, ...], tools: tuple[AnyTool, ...]) -> bool:
    """Is every call answered here? One of a function that there is not is: with an error."""
    for call in calls:
        tool = _tool_for(call, tools)
        if call.kind != "function" if tool is None else tool.call is None:
            return False
    return True


def _row_of(context: RequestContext, number: int, call: ToolCall) -> bytes:
    """Under what a result is recorded: the request whose answer is the call, and the call."""
    said = "\0".join((str(number), call.id, call.name, call.arguments, call.kind))
    whole = b"tool\0" + context.key.digest + said.encode(errors="replace")
    return hashlib.sha256(whole).digest()[:16]


async def _called(
    function: Callable[..., Any], arguments: dict[str, Any], threads: Executor
) -> object:
    """What the function gives; one that is not async runs in a thread, for as long as it takes."""
    if _is_async(function):
        return await function(**arguments)
    context = contextvars.copy_context()
    work = partial(context.run, _outcome, function, arguments)
    running = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        value, error = await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})  # a thread cannot be stopped: it is waited for
        raise
    if error is not None:
        raise error
    return await value if inspect.isawaitable(value) else value


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    inner = getattr(function, "__call__", None)  # noqa: B004  objects are called by theirs
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner)


def _outcome(
    function: Callable[..., Any], arguments: dict[str, Any]
) -> tuple[Any, Exception | None]:
    """Value or error; no future could hold a ``StopIteration``."""
    try:
        return function(**arguments), None
    except Exception as error:  # noqa: BLE001  the caller's own code; raised where it is awaited
        return None, error
