"""Many prompts: the verbs, and how a run goes."""

from __future__ import annotations

from collections.abc import Sized
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from headrace.adapters import collector
from headrace.adapters.progress import Progress
from headrace.client.assembly import Assembly
from headrace.client.options import PlainRunOptions, RunOptions
from headrace.core.conversation import Conversation
from headrace.engine.listening import hand_over
from headrace.engine.pipeline import Pipeline
from headrace.engine.runs import Run
from headrace.engine.scheduler import Handle, Schedule, window
from headrace.engine.sources import opened
from headrace.engine.standing import binding_now
from headrace.engine.streams import ResponseStream
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from headrace.config import Call, Prompts
    from headrace.core.response import Responses
    from headrace.engine.streams import Deliver

T = TypeVar("T")


class Bulk(Assembly):
    """The verbs for many prompts."""

    @overload
    async def process_prompts_async(
        self,
        prompts: Prompts,
        *,
        output_schema: type[T],
        return_completions_only: Literal[False] = ...,
        **options: Unpack[PlainRunOptions],
    ) -> Responses[T]: ...
    @overload
    async def process_prompts_async(
        self,
        prompts: Prompts,
        *,
        return_completions_only: Literal[False] = ...,
        **options: Unpack[RunOptions],
    ) -> Responses[Any]: ...
    @overload
    async def process_prompts_async(
        self,
        prompts: Prompts,
        *,
        return_completions_only: Literal[True],
        **options: Unpack[RunOptions],
    ) -> list[str | None]: ...
    async def process_prompts_async(
        self,
        prompts: Prompts,
        *,
        return_completions_only: bool = False,
        **options: Unpack[RunOptions],
    ) -> Responses[Any] | list[str | None]:
        """Send every prompt and return one response for each, in order.

        ``prompts`` is an iterable or async iterable of strings, conversations, messages, lists of
        ``{"role", "content"}`` dicts, or ``RequestContext`` objects. A bad row is a response with
        an ``error``; the others are untouched. For the options see ``RunOptions``.

        Raises ``ConfigError`` before the first request, and ``NoRouteError`` or ``JournalError``
        when the run cannot go on; what is finished is then on ``last_run.responses``.
        """
        given = {"show_progress": True, **options}
        call = self._call(RunOptions, given, return_completions_only=return_completions_only)
        run = await self._run(prompts, call, keep=True, deliver=None)
        responses = run.responses
        return [r.completion for r in responses] if return_completions_only else responses

    @overload
    def process_prompts_sync(
        self,
        prompts: Prompts,
        *,
        output_schema: type[T],
        return_completions_only: Literal[False] = ...,
        **options: Unpack[PlainRunOptions],
    ) -> Responses[T]: ...
    @overload
    def process_prompts_sync(
        self,
        prompts: Prompts,
        *,
        return_completions_only: Literal[False] = ...,
        **options: Unpack[RunOptions],
    ) -> Responses[Any]: ...
    @overload
    def process_prompts_sync(
        self,
        prompts: Prompts,
        *,
        return_completions_only: Literal[True],
        **options: Unpack[RunOptions],
    ) -> list[str | None]: ...
    def process_prompts_sync(
        self,
        prompts: Prompts,
        *,
        return_completions_only: bool = False,
        **options: Unpack[RunOptions],
    ) -> Responses[Any] | list[str | None]:
        """``process_prompts_async`` for scripts, threads, notebooks, and inside a running loop.

        Ctrl-C cancels cleanly; what is done is on ``last_run.responses``.
        """
        given = {"show_progress": True, **options}
        call = self._call(RunOptions, given, return_completions_only=return_completions_only)
        run = self._portal.call(lambda: self._run(prompts, call, keep=True, deliver=None))
        responses = run.responses
        return [r.completion for r in responses] if return_completions_only else responses

    def process_stream(
        self, prompts: Prompts, *, ordered: bool = False, **options: Unpack[RunOptions]
    ) -> ResponseStream:
        """Responses as they come (or in order), in memory that does not grow with the run.

        ``async with client.process_stream(prompts) as responses: async for r in responses: …``
        """
        call = self._call(RunOptions, options, ordered=ordered)

        async def run(deliver: Deliver) -> None:
            await self._run(prompts, call, keep=False, deliver=deliver)

        return ResponseStream(run, bound=window(call.choice.slots), ordered=ordered)

    async def _run(
        self,
        prompts: Prompts,
        call: Call,
        *,
        keep: bool,
        deliver: Deliver | None,
        kind: type[Pipeline] = Pipeline,
        width: int | None = None,
    ) -> Run:
        run = Run(keep=keep, counts_duplicates=not self._shares, prompts=prompts)
        self.last_run, run.started_at, run.summary.is_complete = run, self._clock.now(), False
        await call.choice.start()
        self._fleet.revive(run.started_at)
        async with AsyncExitStack() as stack:
            stack.enter_context(collector.relieved())
            stack.push_async_callback(self._fleet.keep)
            stack.callback(self._close, run)
            journal = await self._open_journal(call, run)
            if journal is not None:
                stack.push_async_callback(journal.aclose)
            progress = self._progress(prompts) if call.options.get("show_progress") else None
            if progress is not None:
                stack.callback(progress.close)
                await stack.enter_async_context(progress.ticking())
            scope = await stack.enter_async_context(self._here())
            pipeline = self._pipeline(kind, scope, call.choice, run, journal)
            handle = self._handle(pipeline, call, run, progress, deliver)
            width = width or window(call.choice.slots)
            stopped = None if deliver is None else deliver.release
            source = await stack.enter_async_context(opened(prompts))
            schedule = Schedule(source, handle, width, call.choice.is_crowded, stopped)
            stack.enter_context(self._sender.admission.fed_by(schedule.is_fed))
            stack.enter_context(scope.growing(schedule.grow))
            await schedule.run()
            run.summary.is_complete = True
        return run

    def _progress(self, prompts: Prompts) -> Progress:
        return Progress(
            len(prompts) if isinstance(prompts, Sized) else None,
            clock=lambda: self._clock.now() / SECOND,
            binding=partial(binding_now, self._sender, self._leasing),
        )

    def _handle(
        self,
        pipeline: Pipeline,
        call: Call,
        run: Run,
        progress: Progress | None,
        deliver: Deliver | None,
    ) -> Handle:
        """What is done with each prompt of a run."""
        on_response = call.options.get("on_response")

        async def handle(index: int, prompt: object) -> None:
            context = call.context(index, prompt, self._clock.now())
            if type(context.prompt) is Conversation:
                run.see(prompt if type(prompt) is str else context.identity)
            response = await pipeline.answer(context)
            run.finish(response)
            if progress is not None:
                progress.show(response)
            if on_response is not None:
                await hand_over(on_response, response)
            if deliver is not None:
                await deliver(response)

        return handle

    def _close(self, run: Run) -> None:
        run.close((self._clock.now() - run.started_at) / SECOND)
        run.summary.prices = self._fleet.price_remark(run.started_at)
