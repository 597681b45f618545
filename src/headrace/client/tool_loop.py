"""A conversation in which the model calls tools."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from headrace.client.assembly import Assembly
from headrace.client.options import LoopOptions, PlainLoopOptions
from headrace.config import check_callable
from headrace.core.context import RequestContext
from headrace.core.errors import ConfigError, RunStoppedError
from headrace.engine.course import failed
from headrace.engine.pipeline import Pipeline
from headrace.engine.runs import Run
from headrace.engine.tool_rounds import ToolRounds, ended

if TYPE_CHECKING:
    from headrace.config import Asked, Call
    from headrace.core.tool_run import ToolRun

T = TypeVar("T")


class ToolLoop(Assembly):
    """The verbs for one prompt with tools."""

    @overload
    async def run_tool_loop(
        self, prompt: Asked, *, output_schema: type[T], **options: Unpack[PlainLoopOptions]
    ) -> ToolRun[T]: ...
    @overload
    async def run_tool_loop(
        self, prompt: Asked, **options: Unpack[LoopOptions]
    ) -> ToolRun[Any]: ...
    async def run_tool_loop(self, prompt: Asked, **options: Unpack[LoopOptions]) -> ToolRun[Any]:
        """Ask, call the tools that the answer asks for, tell it what they gave, and ask again.

        Calls of one turn are made at the same time: async functions in this loop, others in
        threads. Wrong arguments, unknown tools and what a tool raises are told to the model. For
        the options see ``LoopOptions``. What goes wrong with a request is the ``error`` of the
        last response; more rounds than ``max_rounds`` are a run that is not complete.

        Raises ``ConfigError`` before the first request, and ``JournalError`` for a journal that
        cannot be opened, or cannot take a tool's result. Cancelled, it waits for tools in threads,
        which cannot be stopped.
        """
        return await self._tool_loop(prompt, self._loop_call(options), options)

    @overload
    def run_tool_loop_sync(
        self, prompt: Asked, *, output_schema: type[T], **options: Unpack[PlainLoopOptions]
    ) -> ToolRun[T]: ...
    @overload
    def run_tool_loop_sync(self, prompt: Asked, **options: Unpack[LoopOptions]) -> ToolRun[Any]: ...
    def run_tool_loop_sync(self, prompt: Asked, **options: Unpack[LoopOptions]) -> ToolRun[Any]:
        """``run_tool_loop`` for scripts, threads and notebooks."""
        call = self._loop_call(options)
        return self._portal.call(lambda: self._tool_loop(prompt, call, options))

    def _loop_call(self, options: LoopOptions) -> Call:
        call = self._call(LoopOptions, options)
        most = options.get("max_rounds", 10)
        if type(most) is not int or most < 1:
            raise ConfigError(f"max_rounds must be a whole number above zero, not {most!r:.50}")
        if options.get("on_round") is not None:
            check_callable("on_round", "a response", options["on_round"])
        return call

    async def _tool_loop(self, prompt: Asked, call: Call, options: LoopOptions) -> ToolRun[Any]:
        index = prompt.index if isinstance(prompt, RequestContext) else 0
        context = call.context(index, prompt, self._clock.now())
        run = Run(keep=False, counts_duplicates=False)
        async with AsyncExitStack() as stack:
            scope = await stack.enter_async_context(self._here())
            try:
                await call.choice.start()
            except RunStoppedError as error:
                return ended([failed(context, error)], context)
            self._fleet.revive(self._clock.now())
            journal = await self._open_journal(call, run)
            if journal is not None:
                stack.push_async_callback(journal.aclose)
            rounds = ToolRounds(
                self._pipeline(Pipeline, scope, call.choice, run, journal),
                self._clock,
                journal,
                options.get("on_round"),
                raise_errors=options.get("raise_errors", False),
            )
            return await rounds.run(context, options.get("max_rounds", 10))
