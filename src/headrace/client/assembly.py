"""How the parts of a client are put together, and how long they live."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from headrace.adapters import cache as caches
from headrace.adapters import shared
from headrace.adapters.clock import Clock, SystemClock
from headrace.config import (
    HIDDEN,
    Call,
    Config,
    called_as,
    check_callable,
    check_world,
    refuse_unknown,
)
from headrace.core.given import sources
from headrace.engine.alone import sharing
from headrace.engine.estimates import Estimating
from headrace.engine.fleet import listed
from headrace.engine.journal import Journal
from headrace.engine.listening import guarded
from headrace.engine.loops import LoopScope, LoopScopes
from headrace.engine.memory import RunMemory, opened_in_thread
from headrace.engine.pipeline import Pipeline
from headrace.engine.portal import Portal, run_apart
from headrace.providers.catalog import Catalog
from headrace.registry.resolve import Place

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from headrace.adapters.disk import Disk
    from headrace.config import Models
    from headrace.core.breaking import BreakerSettings
    from headrace.core.events import Listener
    from headrace.core.given import ApiKey
    from headrace.core.hedging import HedgeSettings
    from headrace.core.params import SamplingParams
    from headrace.engine.choice import Choice
    from headrace.engine.runs import Run


P = TypeVar("P", bound=Pipeline)


class Assembly(Estimating):
    """What a client is made of, and its lifetime; the verbs are its subclasses' business."""

    _made_of: tuple[tuple[Any, ...], dict[str, Any]]
    _given_hidden: frozenset[str]
    last_run: Run | None = None

    def __init__(
        self,
        models: Models,
        *,
        model_weights: Sequence[float] | None = None,
        base_url: str | None = None,
        api_key: ApiKey | Sequence[ApiKey] | None = None,
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        max_requests_per_minute: float | None = None,
        max_tokens_per_minute: float | None = None,
        max_concurrent_requests: int | None = None,
        shared_limits: str | os.PathLike[str] | shared.SharedLimits | None = None,
        max_attempts: int = 5,
        request_timeout: float = 600.0,
        deadline: float | None = None,
        patience: float = 900.0,
        breaker: BreakerSettings | None = None,
        hedge: HedgeSettings | float | bool | None = None,
        cache: str | os.PathLike[str] | caches.Cache | None = None,
        coalesce: bool | None = None,
        spill: bool = False,
        remember_limits: bool | None = None,
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
            api_keys, store = sources(api_key), shared.open_shared(shared_limits)
        finally:
            del api_key, shared_limits  # or tracebacks with local variables would show them
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
            breaker=breaker,
            hedge=hedge,
            coalesce=coalesce,
            spill=spill,
            remember_limits=remember_limits,
            seed=seed,
            allow_http=allow_http,
            proxy=proxy,
            ca_file=ca_file,
            trust_env=trust_env,
        )
        is_test = check_world(chance, clock=clock, catalog=catalog, disk=disk)
        place = Place(base_url=base_url, api_keys=api_keys, allow_http=self.config.allow_http)
        self._clock, self._disk = clock or SystemClock(), disk
        self._catalog = catalog or Catalog()
        self._cache = caches.open_cache(cache)
        self._connect(place, store, chance, is_test=is_test)
        self._usual = self.config.usual(self._fleet, names, sampling_params)

    def _connect(
        self,
        place: Place,
        store: shared.SharedLimits | None,
        chance: Callable[[], float] | None,
        *,
        is_test: bool,
    ) -> None:
        """Routes, the one who sends to them, and the event loops it is used from."""
        leasing = self._leasing = sharing(store, self._clock)
        self._fleet = self.config.fleet(
            place, self._catalog.epoch, self._clock, leasing.limit, is_test=is_test
        )
        sender = self._sender = self.config.sender(self._catalog.bind, self._clock, chance)
        leasing.connect(sender, self._fleet.states, self.config.patience)
        opener = self.config.opener(self._clock)
        self._loops = LoopScopes(opener, sender.pump, self._forked, sender.take_back)
        self._portal = Portal(self._loops.aclose, self._loops.is_used_here)

    # Or the looser one of __new__ would be shown.
    __signature__ = called_as(__init__)

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Remember what the client is made of, but for its secrets, so that it can travel."""
        given = frozenset(k for k in HIDDEN if settings.pop(k, None) is not None)
        if cls.__init__ is Assembly.__init__:
            refuse_unknown("LLMClient", settings, cls.__signature__.parameters)
        client = super().__new__(cls)
        client._made_of, client._given_hidden = (args, settings), given
        return client

    def __reduce__(self) -> tuple[object, ...]:
        """A pickled client is made anew where it arrives, and reads its key from there."""
        if "api_key" in self._given_hidden:
            msg = "a client with an api_key given in code cannot be pickled; use the environment"
            raise TypeError(msg)
        kept = {"proxy": self.config.proxy, "shared_limits": self._leasing.store}
        given = self._made_of[1] | {name: one for name, one in kept.items() if one is not None}
        return (partial(type(self), **given), self._made_of[0])

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
        """Close connections, stores and background thread. The client may be used again."""
        await self._loops.aclose()
        await asyncio.to_thread(self._portal.close)
        await self._fleet.keep()
        if self._cache is not None:
            await self._cache.aclose()
        await self._leasing.aclose()

    def close(self) -> None:
        """``aclose`` for scripts, threads and notebooks."""
        run_apart(self.aclose)

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener`` with every event; an error in it is logged and changes nothing."""
        check_callable("listener", "an event", listener)
        self._sender.listeners.append(guarded(listener))

    # Inside.

    @property
    def _shares(self) -> bool:
        return self.config.shares(self._cache)

    @asynccontextmanager
    async def _here(self) -> AsyncIterator[LoopScope]:
        """The running loop's scope, in use."""
        with self._loops.here() as scope:
            async with self._leasing.here():
                yield scope

    def _call(self, known: type[object], given: Mapping[str, Any], **more: object) -> Call:
        return self._usual.over(self._fleet, known, given, more)

    def _pipeline(
        self,
        kind: type[P],
        scope: LoopScope,
        choice: Choice,
        run: Run,
        journal: Journal | None = None,
    ) -> P:
        memory = None
        if journal is not None:
            memory = RunMemory(journal, choice.models, self._fleet.find, self._catalog.decode)
        return kind(
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

    def _forked(self) -> None:
        self._sender.admission.reset()
        self._leasing.forget()
        self._fleet.forget_flights()
