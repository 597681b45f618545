"""How a route stands: what is told of it while a client lives."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.core.response import Usage


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route as it is at one moment, with what its attempts have come to.

    ``state`` is that of its breaker (``"closed"``, ``"open"``, ``"half-open"``) or ``"gone"``, with
    the reason in ``gone``. ``in_flight`` attempts of at most ``concurrency`` are under way, and
    ``waiting`` requests could go there. ``parked`` is for how many seconds more its server has
    asked for quiet. ``succeeded``, ``failed`` and ``rate_limited`` attempts have ended; ``cost`` is
    theirs in USD, None where it is unknown. Of the newest answers half came within ``latency_p50``
    seconds and 95 % within ``latency_p95``.
    """

    route: str
    model: str
    priority: int = 1
    state: str = "closed"
    gone: str | None = None
    in_flight: int = 0
    concurrency: int = 0
    waiting: int = 0
    parked: float = 0.0
    succeeded: int = 0
    failed: int = 0
    rate_limited: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
