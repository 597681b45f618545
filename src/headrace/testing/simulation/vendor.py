"""A vendor in virtual time: what it allows, how fast it is, and how that changes while it runs.

``Terms`` say what a vendor is like for a while. A timeline of them makes outages, slow decay,
limits that change and keys that are revoked: one mechanism for all. Everything that is drawn is
drawn from the seed, the prompt and how often it came, so that a run replays exactly whatever the
order of arrival.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from headrace.core.bounds import NoFlag
from headrace.core.errors import ConfigError
from headrace.policy import reservation
from headrace.testing import numbers
from headrace.testing.clock import running_clock
from headrace.testing.provider import prompt_of
from headrace.testing.simulation.headers import OF_DAY, HeaderDialect
from headrace.testing.windows import DAY, MINUTE, Counting, Level, Window, day_window, window

if TYPE_CHECKING:
    from headrace.adapters.clock import Clock
    from headrace.core.context import RequestContext
    from headrace.core.model import Route

_OK: Final = 200
_SECOND: Final = 1_000_000_000
_LIMITS: Final = ("requests", OF_DAY, "tokens", "input_tokens", "output_tokens")
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a vendor allows each key, and how it answers. Times in seconds, sizes in tokens.

    ``counting``: how a minute is counted. ``counts``: whether a declared maximum counts against
    the limits of tokens when a request comes, or what was really said when it ends. ``shared``: all
    keys have one account's limits, and its name where the vendor tells that. ``output`` tokens are
    spread lognormally by ``spread`` (sigma).
    ``parallel``: how many answers it makes at full speed; more make all slower in proportion.
    ``crowding``: how many times as long an answer takes with so many in flight, and ``varying``:
    how many times as long one takes whose place among all is so far from 0 to 1.
    ``off``: how far its count of input tokens is from an estimate by size, as a part of it, and
    ``bias``: by how much it counts more (or, below 0, less) on the whole.
    Of the answers a share, ``slow``, takes ``slow_times`` as long as others.
    ``failures``: the share of requests that end with ``failure_status``; 0 refuses the connection.
    ``failure_wait``: the seconds to wait that such a failure asks for, by ``hints``.
    ``revoked`` are keys, by number, and ``retired`` models that it does not know any more.
    ``refusals_count``: whether a request that is refused counts all the same, as OpenAI says.
    ``hints``: whether a 429 says how long to wait: in its headers to the millisecond or in whole
    ``"seconds"``, or in its ``"body"`` as Google does. ``way``: a request takes up to so many
    seconds to arrive, each one another time. Raises ``ConfigError`` for wrong numbers.
    """

    requests_per_minute: float | None = None
    requests_per_day: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    counting: Counting = "continuous"
    counts: Literal["declared", "used"] = "declared"
    shared: bool = False
    max_concurrent_requests: int | None = None
    first_token: float = 0.4
    per_token: float = 0.0
    parallel: int | None = None
    slow: float = 0.0
    slow_times: float = 100.0
    crowding: Callable[[int], float] | None = None
    varying: Callable[[float], float] | None = None
    output: float = 100.0
    spread: float = 0.0
    off: float = 0.0
    bias: float = 0.0
    failures: float = 0.0
    failure_status: int = 500
    failure_wait: float = 0.0
    revoked: frozenset[int] = frozenset()
    retired: frozenset[str] = frozenset()
    headers: HeaderDialect | None = None
    hints: bool | Literal["seconds", "body"] = True
    refusals_count: bool = False
    way: float = 0.0

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in _CHECKED}
        numbers.check("Terms", _Checked, **given)

    def per_minute(self, what: str) -> float | None:
        """The limit of one dimension; what a day allows is spread over it."""
        if what == OF_DAY:
            return self.requests_per_day and self.requests_per_day * MINUTE / DAY
        limit: float | None = getattr(self, f"{what}_per_minute")
        return limit


class _Checked(numbers.Numbers):
    """What terms have beside numbers, to be checked with them."""

    counting: Counting
    counts: Literal["declared", "used"]
    failure_status: Annotated[int, Field(ge=0, le=999), NoFlag]
    shared: bool
    refusals_count: bool
    headers: HeaderDialect | None
    hints: Literal[True, False, "seconds", "body"]


_CHECKED: Final = Terms.__dataclass_fields__.keys() & _Checked.model_fields.keys()


@dataclass(slots=True)
class Send:
    """One request at the vendor: when it came and went (seconds from the start), and its fate.

    ``key`` counts the keys of a route from 1. ``output`` is 0 where there was no answer, ``status``
    is 0 where none came: the client left, or the connection was refused. ``in_flight`` are those
    being served with this one.
    """

    at: float
    key: int
    prompt: str
    input: int
    declared: int
    in_flight: int
    status: int = 200
    output: int = 0
    wait: float = 0.0
    latency: float = 0.05
    ended: float | None = None
    levels: Mapping[str, Level] = field(default_factory=dict)


class Vendor:
    """Answers, or refuses, by the terms of the moment; every send is in ``sends``."""

    def __init__(
        self,
        terms: Terms | Mapping[float, Terms],
        *,
        seed: int = 0,
        phase: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        """``terms``: for all time, or from each of these seconds on, the first being 0.

        ``phase``: how many seconds before the first request a minute of its wall clock began.
        ``clock``: what it tells the time by; None: the virtual one of the event loop that runs.
        """
        timeline = {0.0: terms} if isinstance(terms, Terms) else terms
        if not isinstance(timeline, Mapping) or not all(
            isinstance(each, Terms) for each in timeline.values()
        ):
            msg = "a vendor has Terms, or a dict of them by the second from which they hold"
            raise ConfigError(msg)
        numbers.check("Vendor", phase=phase)
        for second in timeline:
            numbers.check("Vendor", begins=second)
        timeline = dict(sorted(timeline.items()))
        if not timeline or min(timeline) != 0:
            msg = "the first terms of a vendor must begin at 0 seconds"
            raise ValueError(msg)
        self._starts, self._terms = list(timeline), list(timeline.values())
        self._seed = seed
        self.phase = phase
        self._clock = clock
        self._seen = Counter[str]()
        self._in_flight = Counter[int]()
        self._windows: dict[tuple[int, str, Counting], Window] = {}
        self._begun: int | None = None
        self.sends: list[Send] = []

    @property
    def clock(self) -> Clock:
        """What it tells the time by."""
        return self._clock or running_clock()

    def now(self) -> float:
        """Seconds since the vendor was first asked."""
        now = self.clock.now()
        if self._begun is None:
            self._begun = now
        return (now - self._begun) / _SECOND

    def terms(self, now: float) -> Terms:
        """What it is like at this second."""
        return self._terms[bisect_right(self._starts, now) - 1]

    def way(self, context: RequestContext) -> float:
        """The seconds until a request that is sent now arrives."""
        most = self.terms(self.now()).way
        return most and most * self._draw(prompt_of(context), "way")

    def arrive(self, context: RequestContext, route: Route) -> Send:
        """A request has come: its fate is decided at once, its cost is charged."""
        size = reservation.input_tokens(context.asked, context.params, context.schemas)
        declared = context.params.max_tokens if context.params else None
        return self.receive(prompt_of(context), size, declared, route.number, route.model.name)

    def receive(self, prompt: str, size: int, declared: int | None, key: int, model: str) -> Send:
        """The same of what came over a wire: a prompt of about ``size`` tokens."""
        now = self.now()
        terms, self._seen[prompt] = self.terms(now), self._seen[prompt] + 1
        factor = 1 + terms.bias
        if terms.off:
            factor += terms.off * (2 * self._draw(prompt, "size") - 1)
        scope = 0 if terms.shared else key
        send = Send(
            now,
            key,
            prompt,
            max(1, round(size * factor)),
            declared or reservation.UNBOUNDED_OUTPUT,
            self._in_flight[scope] + 1,
        )
        self.sends.append(send)
        self._judge(send, terms, scope, model)
        return send

    def leave(self, send: Send, *, answered: bool = True) -> None:
        """Its answer, or refusal, is on its way; what was said is charged where that counts.

        Where it was not ``answered`` the client left: it has been charged what counts on arrival.
        """
        now, terms = self.now(), self.terms(send.at)
        scope = 0 if terms.shared else send.key
        self._in_flight[scope] -= send.status == _OK
        send.ended = now
        if not answered:
            send.status = send.output = 0
        if terms.counts == "used" and send.output:
            for what in ("tokens", "output_tokens"):
                if (found := self._window(scope, what, now)) is not None:
                    found.take(send.output, now + self.phase)
        send.levels = self._levels(scope, now)

    def _judge(self, send: Send, terms: Terms, scope: int, model: str) -> None:
        if send.key in terms.revoked:
            send.status = 401
        elif model in terms.retired:
            send.status = 404
        elif terms.failures and self._draw(send.prompt, "failure") < terms.failures:
            send.status, send.wait = terms.failure_status, terms.failure_wait
        elif (most := terms.max_concurrent_requests) is not None and send.in_flight > most:
            send.status = 429
        else:
            send.wait = self._charge(send, terms, scope)
            send.status = 429 if send.wait else 200
        if send.status == _OK:
            self._in_flight[scope] += 1
            send.output = min(send.declared, self._said(send.prompt, terms))
            factor = self._factor(send, terms)
            send.latency = (terms.first_token + send.output * terms.per_token) * factor

    def _factor(self, send: Send, terms: Terms) -> float:
        """How many times as long as alone, and as on average, this answer takes."""
        factor = max(1.0, send.in_flight / terms.parallel) if terms.parallel else 1.0
        if terms.crowding:
            factor *= terms.crowding(send.in_flight)
        if terms.slow and self._draw(send.prompt, "slow") < terms.slow:
            factor *= terms.slow_times
        if terms.varying:
            factor *= terms.varying(self._place(send.prompt, "latency"))
        return factor

    def _charge(self, send: Send, terms: Terms, scope: int) -> float:
        """All limits or none: the seconds to wait, 0.0 where the request is taken."""
        said = send.declared if terms.counts == "declared" else 0
        costs = {
            "requests": 1,
            OF_DAY: 1,
            "tokens": send.input + said,
            "input_tokens": send.input,
            "output_tokens": said,
        }
        found = {what: self._window(scope, what, send.at) for what in _LIMITS}
        windows = [(costs[what], each) for what, each in found.items() if each is not None]
        at = send.at + self.phase
        wait = max((each.wait_for(cost, at) for cost, each in windows), default=0.0)
        if not wait:
            for cost, each in windows:
                each.take(cost, at)
        elif terms.refusals_count and (requests := found["requests"]) is not None:
            requests.take(1, at)
            wait = max(wait, requests.wait_for(1, at))
        return wait

    def _window(self, scope: int, what: str, now: float) -> Window | None:
        terms = self.terms(now)
        limit = terms.per_minute(what)
        if limit is None:
            return None
        place = (scope, what, terms.counting)
        found = self._windows.get(place)
        if found is None:
            new = day_window if what == OF_DAY else window
            found = self._windows[place] = new(terms.counting, limit, now + self.phase)
        elif found.limit != limit:
            found.change(limit, now + self.phase)
        return found

    def _levels(self, scope: int, now: float) -> dict[str, Level]:
        if self.terms(now).headers is None:
            return {}
        found = {what: self._window(scope, what, now) for what in _LIMITS}
        at = now + self.phase
        return {what: each.level(at) for what, each in found.items() if each is not None}

    def _said(self, prompt: str, terms: Terms) -> int:
        if not terms.spread:
            return round(terms.output)
        drawn = _NORMAL.inv_cdf(self._place(prompt, "output")) * terms.spread - terms.spread**2 / 2
        return max(1, round(terms.output * math.exp(drawn)))

    def _place(self, prompt: str, what: str) -> float:
        """Strictly between 0 and 1."""
        return min(max(self._draw(prompt, what), 1e-9), 1 - 1e-9)

    def _draw(self, prompt: str, what: str) -> float:
        """From 0 up to 1, the same for the same seed, prompt and repetition."""
        text = f"{self._seed}/{what}/{self._seen[prompt]}/{prompt}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64
