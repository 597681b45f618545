"""Limits shared with other processes: asking their store, ahead of need, for what is spent here.

Admission decides at once and cannot wait for a server. So while a client is in use, one coroutine
in each of its event loops tells the store what is wanted and what was not used, and brings what it
lends; then admission's pump runs. Marks go the same way: that a server asked for quiet, or that a
route's breaker has opened, is heard by all within a second.

A store that is lost lends nothing, so that nothing is sent and no limit is broken. That is told at
once, and after ``patience`` the run stops and can be resumed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.core.errors import ConfigError, RunStoppedError
from headrace.core.events import BreakerChanged, RouteParked, SharedLimitsChanged
from headrace.engine.leased import LeasedLimit
from headrace.engine.loops import running
from headrace.policy.breaker import State
from headrace.policy.buckets import SECOND
from headrace.policy.leases import LIFE, NOTHING, Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from headrace.adapters.clock import Clock
    from headrace.adapters.shared import SharedLimits
    from headrace.core.events import Event
    from headrace.engine.attempt import Sender
    from headrace.engine.scope import RouteState
    from headrace.policy.leases import Answer, Ask, Lease

    States: TypeAlias = Callable[[], Iterable[RouteState]]
    Keep: TypeAlias = Callable[[asyncio.Event], Coroutine[object, object, None]]
    Asked: TypeAlias = list[tuple["_Scope", tuple[Ask, ...]]]

# How long nothing is said at most while there is nothing to say: so old are marks when they come.
BEAT: Final = SECOND
# So soon what is not used is given back, though there is nothing to be lent yet.
SOON: Final = SECOND // 10
RETRY: Final = SECOND // 2
# Seconds; the stores of headrace give up earlier.
TIMEOUT: Final = 3.0
# Who had an answer within that time does not believe others that a route is broken.
LATELY: Final = 5 * SECOND
# What a mark may be later than known without being news.
_CLOSE: Final = SECOND // 10
_MICRO: Final = 1_000

_log: Final = logging.getLogger("headrace")


class _Scope:
    """The shared limits of one scope."""

    __slots__ = ("asking", "limits", "not_before", "wants")

    def __init__(self) -> None:
        self.limits: list[LeasedLimit] = []
        self.forget()

    def due(self, said_at: int) -> int:
        """When to say what it wants, in view of what was said last."""
        soon = said_at + SOON
        return soon if soon < self.not_before and self.returns else self.not_before

    def forget(self) -> None:
        self.wants = self.asking = False
        self.not_before = 0
        for limit in self.limits:
            limit.forget()

    def surrender(self) -> bool:
        """Nobody here needs it any more; is there something to give back?"""
        self.wants = False
        for limit in self.limits:
            limit.surrender()
        return self.returns

    @property
    def returns(self) -> bool:
        return any(limit.returns for limit in self.limits)

    def lend(self, lease: Lease, sent_at: int, now: int) -> bool:
        """Pass on what was lent; False where it came too late to be spent."""
        # The way there takes as long as it did: to set out then is to come in time.
        self.not_before = sent_at + lease.wait * _MICRO
        start = now + lease.delay * _MICRO
        # The store's now was after we had asked: by then it is surely not over.
        end = sent_at + (lease.delay + LIFE) * _MICRO
        for limit, amount, stamp in zip(self.limits, lease.amounts, lease.stamps, strict=False):
            if amount:
                limit.lend(amount, stamp, start, end)
        return start < end


class _Keeper:
    """One event loop's coroutine that keeps leases coming, while somebody uses the client there."""

    __slots__ = ("_keep", "_keeping", "_woken", "checking", "loop", "users")

    def __init__(self, keep: Keep) -> None:
        self.loop = asyncio.get_running_loop()
        self.checking = asyncio.Lock()
        self.users = 0
        self._keep = keep
        self._woken = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self.users += 1
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(self._woken))

    async def end(self) -> bool:
        """One user has gone; True where that was the last one."""
        self.users -= 1
        if self.users or self._keeping is None:
            return False
        keeping, self._keeping = self._keeping, None
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        return True

    def wake(self) -> None:
        """Something is wanted; may come from any thread."""
        if running() is self.loop:
            self._woken.set()
        else:
            with suppress(RuntimeError):  # that loop is closed
                self.loop.call_soon_threadsafe(self._woken.set)


class Leasing:
    """One client's part in the limits that it shares."""

    def __init__(self, store: SharedLimits, clock: Clock) -> None:
        self.store = store
        self._clock = clock
        self._scopes: dict[str, _Scope] = {}
        self.forget()

    def connect(self, sender: Sender, states: States, patience: float) -> None:
        """Whose admission waits for what is lent, over which routes, and how many seconds."""
        self._sender = sender
        self._patience = int(patience * SECOND)
        self._states = states
        sender.listeners.append(self._hear)

    @property
    def is_lost(self) -> bool:
        """Can the store not be reached, so that nothing is sent?"""
        return self._lost_since is not None

    def forget(self) -> None:
        """Have nothing and be nobody yet: in a forked child all that is the parent's."""
        self._member = os.urandom(8).hex()
        self._keepers: dict[asyncio.AbstractEventLoop, _Keeper] = {}
        self._marks: dict[str, int] = {}
        self._said_at = self._heard_at = -LATELY
        self._lost_since: int | None = None
        for scope in self._scopes.values():
            scope.forget()

    def limit(self, scope: str, name: str, amount: float, interval: int) -> LeasedLimit:
        """The limit of this name, of a scope that has this name in all processes."""
        ours = self._scopes.setdefault(scope, _Scope())

        def call_soon() -> None:
            ours.wants = True
            self._wake()

        def call() -> None:
            if not ours.wants:
                call_soon()

        limit = LeasedLimit(name, amount, interval, call, call_soon)
        ours.limits.append(limit)
        return limit

    @asynccontextmanager
    async def here(self) -> AsyncIterator[None]:
        """Keep leases coming meanwhile; ``ConfigError`` where the store cannot be reached."""
        keeper = self._keeper()
        async with keeper.checking:
            is_old = self._clock.now() - self._heard_at > LATELY
            reason = await self._exchange() if is_old else None
        if reason is not None and not keeper.users:
            raise ConfigError(reason)
        keeper.begin()
        try:
            yield
        finally:
            if await keeper.end():
                await self._leave()

    async def _leave(self) -> None:
        """What is not used is of use to others, unless another event loop goes on."""
        if any(keeper.users for keeper in self._keepers.values()):
            return
        with self._sender.admission.lock:
            returns = [scope.surrender() for scope in self._scopes.values()]
        if any(returns):
            await self._exchange()

    async def aclose(self) -> None:
        """Close the store, which is opened again when it is used."""
        await self.store.aclose()

    # Asking.

    async def _keep(self, woken: asyncio.Event) -> None:
        try:
            while True:
                pause = self._pause(self._clock.now())
                if pause > 0:
                    await _sleep(pause / SECOND, woken)
                else:
                    self._judge(await self._exchange())
        except Exception as error:  # noqa: BLE001  it is logged, and ends the run
            # Nobody awaits this, and without it all would wait for ever.
            _log.exception("the shared limits are not kept up any more")
            self._stop(f"the shared limits met something unforeseen ({error!r}); please report it")

    def _pause(self, now: int) -> int:
        """Nanoseconds until there is something to say."""
        if self._lost_since is not None:
            return self._said_at + RETRY - now
        with self._sender.admission.lock:
            wanting = [s for s in self._scopes.values() if s.wants and not s.asking]
            due = min([self._said_at + BEAT, *(s.due(self._said_at) for s in wanting)])
            return (now if self._marks else due) - now

    async def _exchange(self) -> str | None:
        """Say what there is to say and adopt the answer; else a sentence on why there is none."""
        sent_at = self._clock.now()
        with self._sender.admission.lock:
            message, asked = self._message(sent_at)
        is_due = self._lost_since is not None or sent_at - self._said_at >= BEAT
        if not message.scopes and not message.quiet and not is_due:
            return None
        self._said_at = sent_at
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await self.store.exchange(message)
            with self._sender.admission.lock:
                reason = self._adopt(answer, asked, sent_at)
        except Exception as error:  # noqa: BLE001  a store may be anybody's; it is told below
            said = str(error) if isinstance(error, OSError) else ""
            reason = said or f"{self.store} cannot be used ({error!r})"
            self._unheard(message, asked)
        except BaseException:
            self._unheard(message, asked)
            raise
        finally:
            for scope, _ in asked:
                scope.asking = False
        if reason is None:
            self._heard_at = self._clock.now()
        self._sender.pump()
        return reason

    def _message(self, now: int) -> tuple[Message, Asked]:
        """What there is to say now, and of which scopes. Lock held."""
        asked: Asked = []
        said: dict[str, tuple[Ask, ...]] = {}
        waiting = Counter[str]()
        for state in self._states():
            waiting.update({scope.name: state.waiting for scope in state.scopes})
        for name, scope in self._scopes.items():
            if scope.asking or (scope.wants and now < scope.due(self._said_at)):
                continue
            asks = tuple(limit.ask(now, waiting[name]) for limit in scope.limits)
            scope.wants = False
            if any(ask.need or ask.most or ask.owed or ask.returned for ask in asks):
                scope.asking = True
                asked.append((scope, asks))
                said[name] = asks
        marks = {m: (until - now) // _MICRO for m, until in self._marks.items() if until > now}
        self._marks = {}
        return Message(self._member, said, marks), asked

    def _unheard(self, message: Message, asked: Asked) -> None:
        now = self._clock.now()
        with self._sender.admission.lock:
            for mark, left in message.quiet.items():
                self._marks.setdefault(mark, now + left * _MICRO)
            for scope, asks in asked:
                for limit, ask in zip(scope.limits, asks, strict=True):
                    limit.unheard(ask)

    # Hearing.

    def _adopt(self, answer: Answer, asked: Asked, sent_at: int) -> str | None:
        """Take what was lent; a sentence where it came too late. Lock held."""
        now = self._clock.now()
        in_time = [
            scope.lend(answer.leases.get(name, NOTHING), sent_at, now)
            for name, scope in self._scopes.items()
            if any(scope is one for one, _ in asked)
        ]
        for state in self._states():
            account, breaker = state.account, state.breaker
            until = now + answer.quiet.get(f"quiet {account.name}", 0) * _MICRO
            if until > max(now, account.parked_until + _CLOSE):
                account.parked_until = until
            left = answer.quiet.get(f"break {state.route.id}", 0) * _MICRO
            if left and breaker.state is State.CLOSED and now - state.last_good > LATELY:
                breaker.hear_open(now + left)
            state.close_for_today(now, self._patience)
        took = (now - sent_at) / SECOND
        return None if all(in_time) else f"{self.store} took too long to answer ({took:.1f} s)"

    def _judge(self, reason: str | None) -> None:
        """The store has answered, or is lost for a ``reason``."""
        now = self._clock.now()
        if reason is None:
            if self._lost_since is not None:
                self._lost_since = None
                back = f"{self.store} can be reached again"
                self._tell(SharedLimitsChanged(is_lost=False, reason=back))
            return
        if self._lost_since is None:
            self._lost_since = now
            self._tell(SharedLimitsChanged(is_lost=True, reason=reason))
        if now - self._lost_since > self._patience:
            self._stop(f"{reason} (for longer than patience={self._patience / SECOND:g} s)")

    def _stop(self, said: str) -> None:
        with self._sender.admission.lock:
            for state in self._states():
                state.gone = state.gone or RunStoppedError(said)
        self._sender.pump()

    def _tell(self, event: SharedLimitsChanged) -> None:
        until = ". Nothing is sent until it can be reached again." if event.is_lost else "."
        _log.warning("%s%s", event.reason, until)
        self._sender.tell(event)

    def _hear(self, event: Event) -> None:
        """Let the other processes know what a route has asked for."""
        now = self._clock.now()
        if isinstance(event, RouteParked):
            for state in self._states():
                if state.route.id == event.route:
                    self._marks[f"quiet {state.account.name}"] = now + int(event.seconds * SECOND)
        elif isinstance(event, BreakerChanged) and event.state == State.OPEN:
            for state in self._states():
                if state.route.id == event.route:
                    self._marks[f"break {event.route}"] = now + state.breaker.wait(now)
        else:
            return
        self._wake()

    def _keeper(self) -> _Keeper:
        loop = asyncio.get_running_loop()
        if loop not in self._keepers:
            others = {k: v for k, v in tuple(self._keepers.items()) if not k.is_closed()}
            self._keepers = {**others, loop: _Keeper(self._keep)}
        return self._keepers[loop]

    def _wake(self) -> None:
        for keeper in tuple(self._keepers.values()):
            keeper.wake()


async def _sleep(seconds: float, woken: asyncio.Event) -> None:
    """Return after that time, or when ``woken`` is set."""
    woken.clear()
    timer = asyncio.get_running_loop().call_later(seconds, woken.set)
    try:
        await woken.wait()
    finally:
        timer.cancel()
