"""The face: the verbs that people call, and how the parts are put together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from headrace.adapters import cache as caches
from headrace.adapters import collector
from headrace.adapters.clock import Clock, SystemClock
from headrace.adapters.progress import Progress
from headrace.config import (
    HIDDEN,
    AskOptions,
    Call,
    Config,
    RunOptions,
    called_as,
    check_callable,
    check_world,
    refuse_unknown,
)
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import RunStoppedError
from headrace.core.secret import Secret
from headrace.engine.course import failed
from headrace.engine.estimates import Estimating
from headrace.engine.fleet import listed
from headrace.engine.journal import Journal
from headrace.engine.listening import guarded, hand_over
from headrace.engine.loops import LoopScope, LoopScopes
from headrace.engine.memory import RunMemory, opened_in_thread
from headrace.engine.pipeline import Choice, Pipeline
from headrace.engine.portal import Portal, run_apart
from headrace.engine.runs import Run
from headrace.engine.scheduler import Handle, Schedule, window
from headrace.engine.sources import opened
from headrace.engine.streams import ResponseStream
from headrace.policy.buckets import SECOND
from headrace.providers.catalog import Catalog
from headrace.registry.resolve import Place

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from headrace.adapters.disk import Disk
    from headrace.config import Asked, Models, Prompts
    from headrace.core.events import Listener
    from headrace.core.params import SamplingParams
    from headrace.core.response import APIResponse, Responses
    from headrace.engine.streams import Deliver


class LLMClient(Estimating):
    """Pushes prompts through language-model APIs, as fast as the limits allow.

    ``models`` is ``"endpoint/model"``, a ``Model`` row, or a list of these; several models are
    interchangeable, or drawn by ``model_weights``. ``base_url`` and ``api_key`` (one, or a list)
    are for servers without a row: ``LLMClient("openai/NAME", base_url="http://127.0.0.1:8080/v1")``.

    Limits are totals over the client: ``max_requests_per_minute``, ``max_tokens_per_minute`` (held
    in any 60 seconds) and ``max_concurrent_requests`` (None: starts at 128 and backs off when the
    server says so). ``request_timeout`` bounds one attempt and ``deadline`` a request's whole life,
    in seconds; ``patience`` is how long a route that once worked may give nothing. ``cache`` is
    ``"memory"``, a path (SQLite) or a ``Cache``; with one, identical requests share an answer, as
    they do with ``coalesce=True``. ``seed`` fixes the draw of weighted models. Raises
    ``ConfigError`` with one sentence for every setting that cannot work.
    """

    _made_of: tuple[tuple[Any, ...], dict[str, Any]]
    _given_hidden: frozenset[str]

    def __init__(
        self,
        models: Models,
        *,
        model_weights: Sequence[float] | None = None,
        base_url: str | None = None,
        api_key: str | Sequence[str] | None = None,
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        max_requests_per_minute: float | None = None,
        max_tokens_per_minute: float | None = None,
        max_concurrent_requests: int | None = None,
        max_attempts: int = 5,
        request_timeout: float = 600.0,
        deadline: float | None = None,
        patience: float = 900.0,
        cache: str | os.PathLike[str] | caches.Cache | None = None,
        coalesce: bool | None = None,
        seed: int = 0,
        allow_http: bool = False,
        proxy: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        trust_env: bool = False,
        clock: Clock | None = None,
        catalog: Catalog | None = None,
        disk: Disk | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        """See the class. The last four are for tests that bring their own world."""
        try:
            secrets = Secret.several(api_key)
        finally:
            del api_key  # or tracebacks with local variables would show it
        names = listed(models)
        self.config = Config.read(
            len(names),
            model_weights=model_weights,
            sampling_params=sampling_params,
            max_requests_per_minute=max_requests_per_minute,
            max_tokens_per_minute=max_tokens_per_minute,
            max_concurrent_requests=max_concurrent_requests,
            max_attempts=max_attempts,
            request_timeout=request_timeout,
            deadline=deadline,
            patience=patience,
            coalesce=coalesce,
            seed=seed,
            allow_http=allow_http,
            proxy=proxy,
            ca_file=ca_file,
            trust_env=trust_env,
        )
        check_world(chance, clock=clock, catalog=catalog, disk=disk)
        place = Place(base_url=base_url, api_keys=secrets, allow_http=self.config.allow_http)
        self._clock, self._disk = clock or SystemClock(), disk
        self._catalog = catalog or Catalog()
        self._cache = caches.open_cache(cache)
        self._shares = self.config.shares(self._cache)
        self._fleet = self.config.fleet(place, self._catalog.epoch, self._clock)
        sender = self._sender = self.config.sender(self._catalog.bind, self._clock, chance)
        opener = self.config.opener(self._clock)
        self._loops = LoopScopes(opener, sender.pump, self._forked, sender.take_back)
        self._portal = Portal(self._loops.aclose, self._loops.is_used_here)
        self._usual = self.config.usual(self._fleet, names, sampling_params)
        self.last_run: Run | None = None

    # Or the looser one of __new__ would be shown.
    __signature__ = called_as(__init__)

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Remember what the client is made of, but for its secrets, so that it can travel."""
        given = frozenset(k for k in HIDDEN if settings.pop(k, None) is not None)
        if cls is LLMClient:
            refuse_unknown("LLMClient", settings, cls.__signature__.parameters)
        client = super().__new__(cls)
        client._made_of, client._given_hidden = (args, settings), given
        return client

    def __reduce__(self) -> tuple[object, ...]:
        """A pickled client is made anew where it arrives, and reads its key from there."""
        if "api_key" in self._given_hidden:
            msg = "a client with an api_key given in code cannot be pickled; use the environment"
            raise TypeError(msg)
        given = self._made_of[1] | ({"proxy": self.config.proxy} if self.config.proxy else {})
        return (partial(type(self), **given), self._made_of[0])

    # Many prompts.

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

    # One prompt.

    async def ask(self, prompt: Asked, **options: Unpack[AskOptions]) -> APIResponse[Any]:
        """Send one prompt. What goes wrong is the response's ``error``, not an exception."""
        return await self._single(prompt, self._call(AskOptions, options))

    def ask_sync(self, prompt: Asked, **options: Unpack[AskOptions]) -> APIResponse[Any]:
        """``ask`` for scripts, threads and notebooks."""
        call = self._call(AskOptions, options)
        return self._portal.call(lambda: self._single(prompt, call))

    async def process_single_request(self, context: RequestContext) -> APIResponse[Any]:
        """Send one request that brings its own id, parameters, model, tags and deadline."""
        return await self._single(context, self._call(AskOptions, {}))

    def __repr__(self) -> str:
        lanes = self._usual.choice.lanes if hasattr(self, "_usual") else ()  # not made: a traceback
        return f"<LLMClient {', '.join(state.route.id for state in lanes)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self  # nothing is opened before it is used

    async def __aexit__(self, *how: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections, cache and background thread. The client may be used again."""
        await self._loops.aclose()
        await asyncio.to_thread(self._portal.close)
        if self._cache is not None:
            await self._cache.aclose()

    def close(self) -> None:
        """``aclose`` for scripts, threads and notebooks."""
        run_apart(self.aclose)

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener`` with every event; an error in it is logged and changes nothing."""
        check_callable("listener", "an event", listener)
        self._sender.listeners.append(guarded(listener))

    # Inside.

    def _call(self, known: type[object], given: Mapping[str, Any], **more: object) -> Call:
        return self._usual.over(self._fleet, known, given, more)

    async def _run(
        self, prompts: Prompts, call: Call, *, keep: bool, deliver: Deliver | None
    ) -> Run:
        run = Run(keep=keep, counts_duplicates=not self._shares, prompts=prompts)
        self.last_run, run.started_at, run.summary.is_complete = run, self._clock.now(), False
        await call.choice.start()
        self._fleet.revive(run.started_at)
        async with AsyncExitStack() as stack:
            stack.enter_context(collector.relieved())
            stack.callback(self._close, run)
            journal = await self._open_journal(call, run)
            if journal is not None:
                stack.push_async_callback(journal.aclose)
            progress = Progress.over(prompts) if call.options.get("show_progress") else None
            if progress is not None:
                stack.callback(progress.close)
            scope = stack.enter_context(self._loops.here())
            pipeline = self._pipeline(scope, call.choice, run, journal)
            handle = self._handle(pipeline, call, run, progress, deliver)
            width = window(call.choice.slots)
            stopped = None if deliver is None else deliver.release
            source = await stack.enter_async_context(opened(prompts))
            await Schedule(source, handle, width, call.choice.is_crowded, stopped).run()
            run.summary.is_complete = True
        return run

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

    async def _single(self, prompt: object, call: Call) -> APIResponse[Any]:
        index = prompt.index if isinstance(prompt, RequestContext) else 0
        context = call.context(index, prompt, self._clock.now())
        run = Run(keep=False, counts_duplicates=False)
        with self._loops.here() as scope:
            try:
                await call.choice.start()
                self._fleet.revive(self._clock.now())
                return await self._pipeline(scope, call.choice, run, None).answer(context)
            except RunStoppedError as error:
                return failed(context, error)

    def _pipeline(
        self, scope: LoopScope, choice: Choice, run: Run, journal: Journal | None
    ) -> Pipeline:
        memory = None
        if journal is not None:
            memory = RunMemory(journal, choice.models, self._fleet.find, self._catalog.decode)
        return Pipeline(
            self._sender,
            scope,
            choose=lambda context: self._fleet.choose(context, choice),
            occurrence=run.occurrence,
            cache=self._cache,
            shares=self._shares,
            memory=memory,
            write_off=run.write_off,
        )

    async def _open_journal(self, call: Call, run: Run) -> Journal | None:
        path = call.options.get("journal")
        if path is None:
            return None
        journal = await opened_in_thread(
            partial(Journal.open, path, disk=self._disk, clock=self._clock)
        )
        journal.run(call.choice.models)
        run.summary.resent = journal.recovered.in_flight
        return journal

    def _close(self, run: Run) -> None:
        run.close((self._clock.now() - run.started_at) / SECOND)
        run.summary.prices = self._fleet.price_remark(run.started_at)

    def _forked(self) -> None:
        self._sender.admission.reset()
        self._fleet.forget_flights()
