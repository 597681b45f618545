"""How a client and its routes stand: what is told of them while the client lives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from headrace.core.response import Usage

CLIENT: Final = "client"
# Below it parts of one are shown.
_SMALL: Final = 100
_NUMBERED: Final = re.compile(r"#(\d+)(?=@|$)")


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route as it is at one moment, with what its attempts have come to.

    ``state`` is that of its breaker (``"closed"``, ``"open"``, ``"half-open"``) or ``"gone"``, with
    the reason in ``gone``. ``in_flight`` attempts of at most ``concurrency`` are under way, and
    ``waiting`` requests could go there. ``parked`` is for how many seconds more its server has
    asked for quiet. ``succeeded``, ``failed`` and ``rate_limited`` attempts have ended; ``cost`` is
    theirs in USD, None where it is unknown. Of the newest answers half came within ``latency_p50``
    seconds and 95 % within ``latency_p95``. With hedging, ``hedged`` attempts were second copies,
    and ``abandoned`` ones were given up for the other copy, and may have been charged.
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
    hedged: int = 0
    abandoned: int = 0


@dataclass(frozen=True, slots=True)
class Binding:
    """What requests wait for; ``str()`` is a phrase.

    ``what`` is a limit (``"requests/min"``, ``"requests/day"``, ``"tokens/min"``,
    ``"input tokens/min"``, ``"output tokens/min"``, ``"concurrency"``, ``"pace"``), what holds a
    route (``"quiet"``, ``"breaker"``, ``"gone"``) or all routes (``"shared limits"``). ``where`` is
    the id of a route, the name of what several share, ``"client"``, or the store of shared limits.
    ``limit`` is the amount, of which ``used`` counts against it now, None where nobody here knows.
    As far as this goes the first who waits may go in ``seconds``, None: at an event. ``source``
    says who set the limit: ``"given"`` in code or rows, ``"told"`` by the server, ``"found"`` out,
    ``"shared"`` with other processes. ``state`` is a breaker's, or why a route is gone.
    """

    what: str
    where: str
    limit: float | None = None
    used: float | None = None
    seconds: float | None = None
    source: str = "given"
    state: str | None = None

    @property
    def name(self) -> str:
        """The phrase without figures, which stays the same while it binds."""
        where = "the client" if self.where == CLIENT else _NUMBERED.sub(r" key \1", self.where)
        if self.what == "quiet":
            return f"quiet that {where} asked for"
        if self.what == "gone":
            return f"{where}, which is gone"
        return f"{self.what} of {where}"

    def __str__(self) -> str:
        said = self.name
        if self.limit is not None:
            source = "" if self.source == "given" else f"{self.source}: "
            unit = "/min" if self.what == "pace" else ""
            said += f" ({source}{_amount(self.limit)}{unit})"
        if self.state is not None:
            said += f" ({self.state})"
        if self.seconds is not None and self.what in {"quiet", "breaker"}:
            said += f", {self.seconds:.0f} s"
        return said


def _amount(limit: float) -> str:
    return f"{limit:,.0f}" if limit >= _SMALL else f"{limit:.3g}"


@dataclass(frozen=True, slots=True)
class Statistics:
    """A client at one moment, with what all its attempts have come to.

    ``in_flight`` attempts are under way, and ``waiting`` requests stand in line. Of the attempts
    that have ended some have ``succeeded`` or ``failed``, and ``rate_limited`` were refused for
    their rate; with hedging ``hedged`` were second copies, and ``abandoned`` were given up for the
    other copy. With those under way they were ``sent``. ``usage`` and ``cost`` (USD, None: unknown)
    are theirs; ``requests_last_minute`` ended in the last 60 seconds and used
    ``tokens_last_minute``. ``binding`` says what those in line wait for, first what counts for who
    has waited longest; it is empty when nothing but answers is waited for.
    """

    in_flight: int = 0
    waiting: int = 0
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    rate_limited: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    requests_last_minute: int = 0
    tokens_last_minute: int = 0
    routes: tuple[RouteStatus, ...] = ()
    binding: tuple[Binding, ...] = ()
    hedged: int = 0
    abandoned: int = 0

    @property
    def tokens(self) -> int:
        """All tokens of ``usage``."""
        return self.usage.total_tokens
