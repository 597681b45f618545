"""What one run finds out of limits, for the next one to begin with.

It is read when a route is first started and written when a run, or the client, ends. What stands
there is a beginning: from the first reply on a route goes on as it does without it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from headrace.adapters import remembered
from headrace.core.model import LOCAL
from headrace.policy.breaker import State
from headrace.policy.buckets import MINUTE
from headrace.policy.known import Known
from headrace.registry.address import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.adapters.clock import Clock
    from headrace.core.model import Endpoint, Route
    from headrace.engine.scope import RouteState

# Who has used up a minute gets nothing but refusals until it is over.
LATELY: Final = 2 * MINUTE
_log: Final = logging.getLogger("headrace")


class Remembering:
    """Of which routes of a client limits are remembered, and what was when it began."""

    def __init__(self, clock: Clock, *, wanted: bool | None) -> None:
        """``wanted``: None for those on other machines; another may serve here tomorrow."""
        self._wanted = wanted
        self._clock = clock
        self._models: dict[RouteState, str] = {}
        self._known: dict[RouteState, Known | None] = {}
        self._lock = threading.Lock()

    def reset(self) -> None:
        """In a forked child, the lock may be held by a thread that is not there."""
        self._lock = threading.Lock()

    def watch(self, state: RouteState, row: Endpoint | None) -> None:
        """A route of the client; ``row`` is that of its endpoint, as it is registered."""
        place = None if self._wanted is False else _place(state.route, row)
        if place is None or (self._wanted is None and is_loopback(_host(state.route))):
            return
        state.is_to_recall = True
        self._models[state] = f"{place}/{state.route.model.name}"

    async def recall(self, states: Iterable[RouteState]) -> None:
        """Let those begin with what is remembered that have not begun yet; never raises."""
        fresh = [state for state in states if state.is_to_recall]
        if fresh:
            found = await asyncio.to_thread(_read, [self._name(state) for state in fresh])
            for state, known in zip(fresh, found, strict=True):
                self._begin(state, known)

    async def keep(self) -> None:
        """Remember what was found out, where it is worth it; never raises."""
        news = [known for state in tuple(self._models) if (known := self._news(state))]
        if news:
            await asyncio.to_thread(_write, news)

    def _begin(self, state: RouteState, known: Known | None) -> None:
        now, wall = self._clock.now(), self._clock.wall()
        with self._lock:
            if not state.is_to_recall:
                return  # somebody else was faster
            if known is not None and known.is_old(wall):
                known = None
            if known is not None:
                state.recall(known, now)
            self._known[state] = known
            state.is_to_recall = False

    def _news(self, state: RouteState) -> Known | None:
        """What is to be written down of a route."""
        if state.is_to_recall or not _is_telling(state):
            return None
        before = self._known[state]
        empty = Known(self._name(state), self._models[state], self._clock.wall())
        known = state.known(empty, self._clock.now()).over(
            before, is_stated=state.own.concurrency.is_stated
        )
        if not known.is_news(before):
            return None
        self._known[state] = known
        return known

    def _name(self, state: RouteState) -> str:
        route = state.route
        return self._models[state] + route.id.removeprefix(route.model.called)


def _is_telling(state: RouteState) -> bool:
    """Did it answer, and is it well, so that what it bears now says what it will bear?"""
    is_well = not state.is_lost and state.breaker.state is State.CLOSED
    return is_well and state.last_good > max(0, state.account.parked_at - LATELY)


def _place(route: Route, row: Endpoint | None) -> str | None:
    """The endpoint's name, or the host where it is somewhere else; None: started on this machine.

    Where the environment says which host (Azure's resources), each is a place of its own.
    """
    if route.endpoint.name == LOCAL or not route.base_url:
        return None
    template = None if row is None else row.base_url
    if (
        route.base_url == template
        or "{region}" in (template or "")
        or "{location}" in (template or "")
    ):
        return route.endpoint.name
    parts = urlsplit(route.base_url)
    host = parts.hostname or ""
    return host if parts.port is None else f"{host}:{parts.port}"


def _host(route: Route) -> str:
    return urlsplit(route.base_url).hostname or ""


def _read(routes: list[str]) -> list[Known | None]:
    return [remembered.read(route) for route in routes]


def _write(news: list[Known]) -> None:
    for known in news:
        try:
            remembered.write(known)
        except (OSError, TypeError) as error:  # a name that is no Unicode is no JSON
            _log.debug("the limits of %s cannot be remembered: %s", known.route, error)
