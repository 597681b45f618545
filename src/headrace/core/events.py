"""What is told while it happens. Listeners watch and cannot steer; their errors are logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from headrace.core.errors import HeadraceError
from headrace.core.response import APIResponse


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """A row is done, with an answer or an error."""

    response: APIResponse[object]


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt failed; ``wait`` is the seconds until the next one, None when there is none."""

    id: str
    error: HeadraceError
    wait: float | None


@dataclass(frozen=True, slots=True)
class RouteParked:
    """A server asked for quiet: nothing is sent on this route for ``seconds``."""

    route: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A route's circuit breaker opened, lets a probe through, closed, or the route is gone."""

    route: str
    state: str


@dataclass(frozen=True, slots=True)
class SharedLimitsChanged:
    """The store of the shared limits is lost, so that nothing is sent, or it is there again."""

    is_lost: bool
    reason: str


Event: TypeAlias = (
    RequestFinished | AttemptFailed | RouteParked | BreakerChanged | SharedLimitsChanged
)


class Listener(Protocol):
    """Anything that can be called with an event."""

    def __call__(self, event: Event, /) -> None:
        """Watch; return nothing."""
