"""The routes of one client: made from what the caller names, kept while the client lives."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headrace.adapters import keys, registered, sockets
from headrace.adapters.clock import SystemClock
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.model import LOCAL, Model
from headrace.engine import pricing
from headrace.engine.choice import Choice
from headrace.engine.limits import NAMES, Scope, alone
from headrace.engine.remembering import Remembering
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import Concurrency
from headrace.registry import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headrace.adapters.clock import Clock
    from headrace.core.breaking import BreakerSettings
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.engine.account import Met
    from headrace.engine.limits import Make
    from headrace.engine.order import Lanes
    from headrace.registry.resolve import Place


_EXTRAS: Final = {"extra_body", "extra_headers"}


class Fleet:
    """Who may answer: the client's own models, and those that a call or a row names."""

    def __init__(
        self,
        place: Place,
        epoch: Callable[[Route], int],
        *,
        limits: Mapping[str, float | None],
        concurrency: int | None,
        breaker: BreakerSettings | None = None,
        clock: Clock | None = None,
        remembers: bool | None = False,
        make: Make = alone,
    ) -> None:
        """``remembers`` limits between runs; None: of servers on other machines.

        ``make``: how limits are made, those of rows too.
        """
        self._place = place
        self._epoch = epoch
        self._breaker = breaker
        self._clock = clock or SystemClock()
        self._scope = Scope(
            "client",
            concurrency=_slots(concurrency),
            limits=limits,
            make=make,
        )
        self._met: Met = {}
        self._memory = Remembering(self._clock, wanted=remembers)
        self._table = registered.table()
        self._groups: dict[str, Lanes] = {}
        self._singles: dict[str, Choice] = {}
        self._home: str | None = None
        self._lock = threading.Lock()

    def choice(
        self,
        models: object,
        *,
        weights: tuple[float, ...] | None = None,
        spill: bool = False,
        params: Sequence[SamplingParams | None] = (),
        seed: int = 0,
    ) -> Choice:
        """Read what a caller names as models; raises ``ConfigError`` for what cannot be reached."""
        rows = [self._row(spec) for spec in listed(models)]
        self._settle_in(rows)
        if len({row.id for row in rows}) < len(rows):
            msg = "a model is listed twice; list each once, and use model_weights to prefer one"
            raise ConfigError(msg)
        given = params or [None] * len(rows)
        own = [row.asked(mine) for row, mine in zip(rows, given, strict=True)]
        groups = tuple(self._lanes(row, mine) for row, mine in zip(rows, own, strict=True))
        names = tuple(_name(row, mine) for row, mine in zip(rows, own, strict=True))
        return Choice(names, groups, self.start, weights=weights, spill=spill, seed=seed)

    def choose(self, context: RequestContext, default: Choice) -> Choice:
        """The models for one request: the row's own, or the default.

        Raises ``BadRowError`` for a model that cannot be reached; it is kept once for each model.
        """
        if context.model is None:
            return default
        known = self._singles.get(context.model)
        if known is None:
            try:
                known = self._singles[context.model] = self.choice(context.model)
            except ConfigError as error:
                raise BadRowError(error.message) from None
        return known

    async def start(self, lanes: Lanes) -> None:
        """Start what runs on this machine and is not running; read prices, and what is known."""
        await pricing.read_all(state.pricing for state in lanes)
        await self._memory.recall(lanes)
        from headrace.adapters import local  # noqa: PLC0415  an extra, loaded by who uses it

        for state in lanes:
            row = state.route.endpoint
            if row.name == LOCAL and not row.base_url:
                server = await asyncio.to_thread(local.shared)
                if state.route.base_url != server.base_url:
                    state.route = replace(state.route, base_url=server.base_url)

    async def keep(self) -> None:
        """Remember the limits that were found out; never raises."""
        await self._memory.keep()

    def _settle_in(self, rows: list[Model]) -> None:
        """The endpoint of the client's own models is where ``base_url`` and ``api_key`` belong."""
        if self._home is not None:
            return
        self._home = rows[0].endpoint
        others = {row.endpoint for row in rows} - {self._home}
        if others and self._place.is_special:
            msg = (
                "base_url and api_key belong to one endpoint, and the models name"
                f" {', '.join(sorted({self._home, *others}))}; make one client for each"
            )
            raise ConfigError(msg)

    def find(self, route: str) -> Route | None:
        """A route by its id; where it was that of another key or region, one to the same model.

        A journal outlives keys: what one of them has answered is read with another.
        """
        best: tuple[int, Route] | None = None
        for model, lanes in tuple(self._groups.items()):
            for state in lanes:
                if state.route.id == route:
                    return state.route
            is_same = route == model or route.startswith((f"{model}#", f"{model}@"))
            if is_same and (best is None or len(model) > best[0]):
                best = len(model), lanes[0].route
        return None if best is None else best[1]

    def state(self, route: str) -> RouteState:
        """The route of this id; raises ``ConfigError`` with those that there are."""
        by_id = {state.route.id: state for state in self.states()}
        if route not in by_id:
            msg = f"this client has no route {route!r}; it has {', '.join(by_id)}"
            raise ConfigError(msg)
        return by_id[route]

    def revive(self, now: int) -> None:
        """Let a new run ask again where an earlier one was turned away."""
        self._singles = {}  # what a row names may have to be started anew
        for state in self.states():
            state.revive(now)

    def price_remark(self, since: int) -> str | None:
        """Where the prices since then came from, or what would make them known."""
        used = [state.pricing for state in self.states()]
        return pricing.remark(used, since, self._clock.wall())

    def forget_flights(self) -> None:
        """In a forked child: what is in flight belongs to the parent."""
        self._lock = threading.Lock()
        self._memory.reset()
        for state in self.states():
            state.forget_flights()

    def states(self) -> list[RouteState]:
        """All routes that were ever chosen, a model's beside each other."""
        return [state for lanes in tuple(self._groups.values()) for state in lanes]

    def _row(self, spec: object) -> Model:
        """A model's row; a name means the client's own row, where it has one of that name."""
        row = resolve.model_row(spec, self._table)
        known = self._groups.get(row.id) if isinstance(spec, str) else None
        return row if known is None else known[0].route.model

    def _lanes(self, row: Model, params: SamplingParams | None) -> Lanes:
        """The states of a model's routes: one for each key and region."""
        with self._lock:
            known = self._groups.get(row.id)
            if known is not None and known[0].route.model == row and known[0].params == params:
                return known
            # A row or a call that names a model of the client means the client's own row.
            if known is not None and row == Model(id=row.id) and params is None:
                return known
            if known is not None:
                msg = (
                    f"this client has another row for {row.id!r}, whose limits and health it keeps;"
                    " make a second client for the second row"
                )
                raise ConfigError(msg)
            lanes: Lanes = ()
            for route in self._routes(row):
                lanes = (*lanes, self._new(route, params, lanes))
            for state in lanes:
                self._memory.watch(state, self._table.all_endpoints().get(row.endpoint))
            self._groups[row.id] = lanes
            return lanes

    def _new(self, route: Route, params: SamplingParams | None, row: Lanes) -> RouteState:
        """``row``: those of the same model that are made already."""
        alike = (s for s in (*self.states(), *row) if s.route.scope == route.scope)
        beside = next(alike, None)
        if beside is not None:
            _check_alike(route.model, beside.route.model)
        return RouteState(
            route,
            self._scope,
            params,
            self._epoch(route),
            self._clock,
            breaker=self._breaker,
            beside=beside,
            met=self._met,
        )

    def _routes(self, row: Model) -> tuple[Route, ...]:
        if row.endpoint not in self._table.all_endpoints() and registered.discover(row.endpoint):
            self._table = registered.table()
        # An address and a key given in code are those of one endpoint, and of no other.
        place = self._place if row.endpoint == self._home else self._place.elsewhere()
        routes = resolve.routes(row, place, self._table, registered.environ)
        taken = {state.route.id for state in self.states()}
        for route in routes:
            self._epoch(route)  # who writes for it is asked for before its key is
            keys.check(route)
            if route.id in taken:
                msg = f"the model {route.id!r} has the name of another model's route; rename one"
                raise ConfigError(msg)
        return routes


def _check_alike(row: Model, other: Model) -> None:
    """What shares its limits has the same ones; raises ``ConfigError``."""
    for name in (*NAMES, "max_concurrent_requests"):
        if (mine := getattr(row, name)) != (theirs := getattr(other, name)):
            msg = (
                f"{other.called} and {row.called} share their limits, and {name} is {theirs} on one"
                f" row and {mine} on the other; state the same on both, or do not let them share"
            )
            raise ConfigError(msg)


def _slots(given: int | None) -> Concurrency:
    """Those of the client: as given, or as many as there may be connections."""
    return Concurrency(given or sockets.most(), fixed=given is not None, stated=True)


def listed(models: object) -> Sequence[object]:
    """One model or several, as several."""
    if isinstance(models, list | tuple):
        if not models:
            msg = "no model is given; name at least one, such as 'openai/gpt-4.1-mini'"
            raise ConfigError(msg)
        return models
    return [models]


def _name(row: Model, params: SamplingParams | None) -> str:
    """What a model is called in a row's identity: its id, and the parameters it alone is given.

    It stands in the journal, so that extras, which may hold a gateway's token, are only hashed.
    """
    if params is None:
        return row.id
    given = params.given()
    for name in _EXTRAS & given.keys():
        given[name] = hashlib.sha256(repr(given[name]).encode()).hexdigest()
    return f"{row.id} {given!r}"
