"""The face: assembling the parts, their lifetime, and the verbs that people call."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Sized
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast, overload

from headrace.adapters import cache as caches
from headrace.adapters.clock import Clock, SystemClock
from headrace.adapters.http import Transport
from headrace.adapters.progress import Progress
from headrace.config import Config, check_seconds
from headrace.core.context import RequestContext
from headrace.core.errors import RunStoppedError
from headrace.core.response import APIResponse, Responses
from headrace.core.secret import Secret
from headrace.engine.attempt import Sender
from headrace.engine.fleet import Fleet, listed
from headrace.engine.journal import Journal
from headrace.engine.loops import LoopScope, LoopScopes
from headrace.engine.memory import RunMemory
from headrace.engine.pipeline import Choice, Pipeline, failed
from headrace.engine.portal import Portal
from headrace.engine.runs import Run
from headrace.engine.scheduler import Handle, Schedule, window
from headrace.engine.streams import ResponseStream
from headrace.policy.buckets import SECOND
from headrace.providers.catalog import Catalog
from headrace.registry import resolve

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Sequence
    from types import TracebackType

    from headrace.core.conversation import Prompt
    from headrace.core.events import Event, Listener
    from headrace.core.model import Model
    from headrace.core.params import SamplingParams
    from headrace.engine.streams import Deliver

    Prompts: TypeAlias = Iterable[object] | AsyncIterable[object]
    Models: TypeAlias = str | Model | Sequence[str | Model]
    OnResponse: TypeAlias = Callable[[APIResponse[Any]], Awaitable[None] | None]

_log = logging.getLogger("headrace")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What one call lays over the client's settings."""

    params: SamplingParams | None = None
    choice: Choice | None = None
    deadline: float | None = None
    journal: str | os.PathLike[str] | None = None
    show_progress: bool = False
    on_response: OnResponse | None = None


class LLMClient:
    """Pushes prompts through language-model APIs, as fast as the limits allow.

    ``models`` is ``"endpoint/model"``, a ``Model`` row, or a list of these; several models are
    interchangeable, or drawn by ``model_weights``. ``base_url`` and ``api_key`` are for servers
    that are not in the registry: ``LLMClient("openai/NAME", base_url="http://127.0.0.1:8080/v1")``.

    Limits are totals over the client: ``max_requests_per_minute``, ``max_tokens_per_minute`` (held
    in any 60 seconds) and ``max_concurrent_requests`` (None: starts at 128 and backs off when the
    server says so). ``request_timeout`` bounds one attempt and ``deadline`` a request's whole life,
    in seconds; ``patience`` is how long a route that once worked may give nothing. ``cache`` is
    ``"memory"``, a path (SQLite) or a ``Cache``; with one, identical requests share an answer, as
    they do with ``coalesce=True``. ``seed`` fixes the draw of weighted models.

    Raises ``ConfigError`` with one sentence for every setting that cannot work.
    """

    def __init__(
        self,
        models: Models,
        *,
        model_weights: Sequence[float] | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
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
    ) -> None:
        """See the class. ``clock`` and ``catalog`` are for tests that bring their own."""
        names = listed(models)
        self.config = Config.read(
            len(names),
            {
                "model_weights": None if model_weights is None else tuple(model_weights),
                "sampling_params": sampling_params,
                "max_requests_per_minute": max_requests_per_minute,
                "max_tokens_per_minute": max_tokens_per_minute,
                "max_concurrent_requests": max_concurrent_requests,
                "max_attempts": max_attempts,
                "request_timeout": request_timeout,
                "deadline": deadline,
                "patience": patience,
                "coalesce": coalesce,
                "seed": seed,
                "proxy": proxy,
                "ca_file": ca_file,
            },
        )
        self._clock = clock or SystemClock()
        self._catalog = catalog or Catalog()
        self._trust_env = trust_env
        self._cache = caches.open_cache(cache)
        self._shares = self._cache is not None if coalesce is None else coalesce
        key = None if api_key is None else Secret(api_key)
        self._fleet = Fleet(
            resolve.Place(base_url=base_url, api_key=key, allow_http=allow_http),
            requests_per_minute=max_requests_per_minute,
            tokens_per_minute=max_tokens_per_minute,
            concurrency=max_concurrent_requests,
        )
        per_model = isinstance(sampling_params, list | tuple)
        self._params = None if per_model else self.config.sampling_params[0].or_none()
        self._default = self._fleet.choice(
            names,
            weights=self.config.model_weights,
            params=self.config.sampling_params if per_model else (),
            seed=seed,
        )
        self._sender = Sender(
            bind=self._catalog.bind,
            clock=self._clock,
            chance=random.Random().random,  # noqa: S311 - jitter needs no cryptography
            max_attempts=max_attempts,
            request_timeout=request_timeout,
            patience=patience,
        )
        self._loops = LoopScopes(self._make_transport, self._sender.pump, self._forked)
        self._portal = Portal(self._loops.aclose)
        self.last_run: Run | None = None

    # Many prompts.

    @overload
    async def process_prompts_async(
        self,
        prompts: Prompts,
        *,
        return_completions_only: Literal[False] = ...,
        show_progress: bool = ...,
        sampling_params: SamplingParams | None = ...,
        model: Models | None = ...,
        deadline: float | None = ...,
        on_response: OnResponse | None = ...,
        journal: str | os.PathLike[str] | None = ...,
    ) -> Responses[Any]: ...
    @overload
    async def process_prompts_async(
        self,
        prompts: Prompts,
        *,
        return_completions_only: Literal[True],
        show_progress: bool = ...,
        sampling_params: SamplingParams | None = ...,
        model: Models | None = ...,
        deadline: float | None = ...,
        on_response: OnResponse | None = ...,
        journal: str | os.PathLike[str] | None = ...,
    ) -> list[str | None]: ...
    async def process_prompts_async(
        self,
        prompts: Prompts,
        *,
        return_completions_only: bool = False,
        show_progress: bool = True,
        sampling_params: SamplingParams | None = None,
        model: Models | None = None,
        deadline: float | None = None,
        on_response: OnResponse | None = None,
        journal: str | os.PathLike[str] | None = None,
    ) -> Responses[Any] | list[str | None]:
        """Send every prompt and return one response for each, in order.

        ``prompts`` is an iterable or async iterable of strings, conversations, messages, lists of
        ``{"role", "content"}`` dicts, or ``RequestContext`` objects. A bad row is a response with
        an ``error``; the others are untouched. ``on_response`` is called once for each finished
        row, in completion order. With ``journal`` a path, what is answered is on disk before it is
        handed out and is never sent again.

        Raises ``ConfigError`` before the first request, and ``NoRouteError`` or ``JournalError``
        when the run cannot go on; what is finished is then on ``last_run.responses``.
        """
        options = self._options(
            sampling_params=sampling_params,
            model=model,
            deadline=deadline,
            journal=journal,
            show_progress=show_progress,
            on_response=on_response,
        )
        run = await self._run(prompts, options, keep=True, deliver=None)
        responses = run.responses
        return [r.completion for r in responses] if return_completions_only else responses

    def process_prompts_sync(self, prompts: Prompts, **options: Any) -> Any:  # noqa: ANN401 - as the async form
        """``process_prompts_async`` for scripts, threads, notebooks, and inside a running loop.

        Ctrl-C cancels cleanly; what is done is on ``last_run.responses``.
        """
        return self._portal.call(lambda: self.process_prompts_async(prompts, **options))

    def process_stream(
        self,
        prompts: Prompts,
        *,
        ordered: bool = False,
        show_progress: bool = False,
        sampling_params: SamplingParams | None = None,
        model: Models | None = None,
        deadline: float | None = None,
        on_response: OnResponse | None = None,
        journal: str | os.PathLike[str] | None = None,
    ) -> ResponseStream:
        """Responses as they come (or in order), in memory that does not grow with the run.

        ``async with client.process_stream(prompts) as responses: async for r in responses: …``
        """
        options = self._options(
            sampling_params=sampling_params,
            model=model,
            deadline=deadline,
            journal=journal,
            show_progress=show_progress,
            on_response=on_response,
        )

        async def run(deliver: Deliver) -> None:
            await self._run(prompts, options, keep=False, deliver=deliver)

        return ResponseStream(run, bound=window(self._fleet.slots), ordered=ordered)

    # One prompt.

    async def ask(
        self,
        prompt: Prompt,
        *,
        sampling_params: SamplingParams | None = None,
        model: Models | None = None,
        deadline: float | None = None,
    ) -> APIResponse[Any]:
        """Send one prompt. What goes wrong is the response's ``error``, not an exception."""
        options = self._options(sampling_params=sampling_params, model=model, deadline=deadline)
        return await self._single(self._context(0, prompt, options), options)

    def ask_sync(self, prompt: Prompt, **options: Any) -> APIResponse[Any]:  # noqa: ANN401 - as ask
        """``ask`` for scripts, threads and notebooks."""
        return self._portal.call(lambda: self.ask(prompt, **options))

    async def process_single_request(self, context: RequestContext) -> APIResponse[Any]:
        """Send one request that brings its own id, parameters, model, tags and deadline."""
        options = CallOptions()
        return await self._single(self._context(context.index, context, options), options)

    # Lifetime and watching.

    async def __aenter__(self) -> Self:
        """Nothing is opened before it is used."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections, the cache and the background thread. The client may be used again."""
        await self._loops.aclose()
        await asyncio.to_thread(self._portal.close)
        if self._cache is not None:
            await self._cache.aclose()

    def close(self) -> None:
        """``aclose`` from outside of any event loop."""
        asyncio.run(self.aclose())

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener`` with every event; an error in it is logged and changes nothing."""
        self._sender.listeners.append(_guarded(listener))

    # Inside.

    async def _run(
        self, prompts: Prompts, options: CallOptions, *, keep: bool, deliver: Deliver | None
    ) -> Run:
        run = self.last_run = Run(keep=keep, counts_duplicates=not self._shares)
        run.started_at = self._clock.now()
        choice = options.choice or self._default
        await choice.start()
        choice.revive()
        scope = self._loops.here()
        scope.enter()
        journal = await self._open_journal(options, run)
        progress = Progress(_size(prompts)) if options.show_progress else None
        try:
            pipeline = self._pipeline(scope, choice, run, journal)
            handle = self._handler(pipeline, options, run, progress, deliver)
            width = window(self._fleet.slots)
            await Schedule(prompts, handle, width, choice.is_crowded).run()
        finally:
            scope.leave()
            run.close((self._clock.now() - run.started_at) / SECOND)
            if progress is not None:
                progress.close()
            if journal is not None:
                await journal.aclose()
        return run

    async def _open_journal(self, options: CallOptions, run: Run) -> Journal | None:
        if options.journal is None:
            return None
        journal = await asyncio.to_thread(Journal.open, options.journal, clock=self._clock)
        run.summary.resent = journal.recovered.in_flight
        return journal

    def _handler(
        self,
        pipeline: Pipeline,
        options: CallOptions,
        run: Run,
        progress: Progress | None,
        deliver: Deliver | None,
    ) -> Handle:
        async def handle(index: int, prompt: object) -> bool:
            run.see(prompt)
            response = await pipeline.answer(self._context(index, prompt, options))
            run.finish(response)
            if progress is not None:
                _show(progress, response)
            if options.on_response is not None:
                await _call(options.on_response, response)
            if deliver is not None:
                await deliver(response)
            return response.source == "provider" and response.attempts > 0

        return handle

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
        )

    async def _single(self, context: RequestContext, options: CallOptions) -> APIResponse[Any]:
        choice = options.choice or self._default
        scope = self._loops.here()
        scope.enter()
        try:
            await choice.start()
            choice.revive()
            run = Run(keep=False, counts_duplicates=False)
            return await self._pipeline(scope, choice, run, None).answer(context)
        except RunStoppedError as error:
            return failed(context, error)
        finally:
            scope.leave()

    def _options(
        self,
        *,
        sampling_params: SamplingParams | None,
        model: Models | None,
        deadline: float | None,
        journal: str | os.PathLike[str] | None = None,
        show_progress: bool = False,
        on_response: OnResponse | None = None,
    ) -> CallOptions:
        params = sampling_params if self._params is None else self._params | sampling_params
        return CallOptions(
            params=params,
            choice=None if model is None else self._fleet.choice(model),
            deadline=check_seconds("deadline", deadline) or self.config.deadline,
            journal=journal,
            show_progress=show_progress,
            on_response=on_response,
        )

    def _context(self, index: int, prompt: object, options: CallOptions) -> RequestContext:
        now, params = self._clock.now(), options.params
        if type(prompt) is not RequestContext:
            return RequestContext(
                prompt=cast("Prompt", prompt),
                index=index,
                params=params,
                deadline=options.deadline,
                born_at=now,
            )
        return replace(
            prompt,
            index=index,
            params=prompt.params if params is None else params | prompt.params,
            deadline=options.deadline if prompt.deadline is None else prompt.deadline,
            born_at=now,
        )

    def _make_transport(self) -> Transport:
        config = self.config
        return Transport(ca_file=config.ca_file, proxy=config.proxy, trust_env=self._trust_env)

    def _forked(self) -> None:
        self._sender.admission.reset()
        self._fleet.forget_flights()


async def _call(on_response: OnResponse, response: APIResponse[Any]) -> None:
    try:
        result = on_response(response)
        if inspect.isawaitable(result):
            await result
    except Exception:
        _log.exception("on_response failed for row %s; the row itself is safe", response.id)


def _guarded(listener: Listener) -> Callable[[Event], None]:
    def tell(event: Event) -> None:
        try:
            listener(event)
        except Exception:
            _log.exception("a listener failed on %s", type(event).__name__)

    return tell


def _show(progress: Progress, response: APIResponse[Any]) -> None:
    usage = response.usage
    progress.add(
        failed=response.is_error,
        tokens=usage.total_tokens if usage is not None and response.source == "provider" else 0,
        cost_nanos=response.cost_nanos if response.source == "provider" else None,
    )


def _size(prompts: object) -> int | None:
    return len(prompts) if isinstance(prompts, Sized) else None
