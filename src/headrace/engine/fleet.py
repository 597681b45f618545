"""The routes of one client: made from what the caller names, kept while the client lives."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headrace.adapters import keys
from headrace.adapters.clock import SystemClock
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.model import Model
from headrace.engine import pricing
from headrace.engine.pipeline import Choice
from headrace.engine.scope import RouteState, Scope
from headrace.policy.adaptive import Concurrency
from headrace.registry import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.adapters.clock import Clock
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.engine.admission import Lanes
    from headrace.registry.resolve import Place


NO_BOUND: Final = 1_000_000_000


class Fleet:
    """Who may answer: the client's own models, and those that a call or a row names."""

    def __init__(
        self,
        place: Place,
        epoch: Callable[[Route], int],
        *,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        concurrency: int | None,
        clock: Clock | None = None,
    ) -> None:
        self._place = place
        self._epoch = epoch
        self._clock = clock or SystemClock()
        self._scope = Scope(
            "client",
            concurrency=Concurrency(concurrency or NO_BOUND, fixed=concurrency is not None),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        self._states: dict[str, RouteState] = {}
        self._singles: dict[str, Choice] = {}
        self._home: str | None = None
        self._lock = threading.Lock()

    def choice(
        self,
        models: object,
        *,
        weights: tuple[float, ...] | None = None,
        params: Sequence[SamplingParams | None] = (),
        seed: int = 0,
    ) -> Choice:
        """Read what a caller names as models; raises ``ConfigError`` for what cannot be reached."""
        rows = [resolve.model_row(spec) for spec in listed(models)]
        self._settle_in(rows)
        if len({row.id for row in rows}) < len(rows):
            msg = "a model is listed twice; list each once, and use model_weights to prefer one"
            raise ConfigError(msg)
        own = list(params) or [None] * len(rows)
        states = [self._state(row, mine) for row, mine in zip(rows, own, strict=True)]
        names = tuple(_name(row, mine) for row, mine in zip(rows, own, strict=True))
        return Choice(
            names, tuple((state,) for state in states), self.start, weights=weights, seed=seed
        )

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
        """Start what runs on this machine and is not running, or not any more; read prices."""
        await pricing.read_all(state.pricing for state in lanes)
        from headrace.adapters import local  # noqa: PLC0415  an extra, loaded by who uses it

        for state in lanes:
            if not state.route.endpoint.base_url:
                server = await asyncio.to_thread(local.shared)
                if state.route.base_url != server.base_url:
                    state.route = replace(state.route, base_url=server.base_url)

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
        """A route by its id."""
        state = self._states.get(route)
        return None if state is None else state.route

    def revive(self, now: int) -> None:
        """Let a new run ask again where an earlier one was turned away."""
        self._singles = {}  # what a row names may have to be started anew
        for state in tuple(self._states.values()):
            state.revive(now)

    def price_remark(self, since: int) -> str | None:
        """Where the prices since then came from, or what would make them known."""
        used = [state.pricing for state in tuple(self._states.values())]
        return pricing.remark(used, since, self._clock.wall())

    def forget_flights(self) -> None:
        """In a forked child: what is in flight belongs to the parent."""
        self._lock = threading.Lock()
        for state in self._states.values():
            state.forget_flights()

    def _state(self, row: Model, params: SamplingParams | None) -> RouteState:
        with self._lock:
            known = self._states.get(row.id)
            if known is not None and known.route.model == row and known.params == params:
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
            # An address and a key given in code are those of one endpoint, and of no other.
            place = self._place if row.endpoint == self._home else self._place.elsewhere()
            route = resolve.route(row, place)
            keys.check(route)
            state = RouteState(route, self._scope, params, self._epoch(route), self._clock)
            self._states[row.id] = state
            return state


def listed(models: object) -> Sequence[object]:
    """One model or several, as several."""
    if isinstance(models, list | tuple):
        if not models:
            msg = "no model is given; name at least one, such as 'openai/gpt-4.1-mini'"
            raise ConfigError(msg)
        return models
    return [models]


def _name(row: Model, params: SamplingParams | None) -> str:
    """What a model is called in a row's identity: its id, and the parameters it alone is given."""
    return row.id if params is None else f"{row.id} {params.given()!r}"
