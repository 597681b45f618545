"""Limits that several processes spend from together: what each is lent, and when. Pure.

A process asks ahead for what it needs next and is lent it: an amount that it may spend within half
a second (``LIFE``) of the moment given with it, and that counts as spent from then on. What it does
not spend it gives back; of a process that was killed it stays spent until it is too old to count.

Two things hold, as they do within one process. No interval ever sees more than the limit: slots of
the last interval, and of ``LIFE`` and ``JITTER`` beside it, are summed. And it goes evenly: each
lease begins where the one before ends, at most ``AHEAD`` from now, and is a tenth of a second's
worth or what one request needs. Who has to wait for room stands in the line of its scope, first
come, first served, so that small requests of others do not pass a large one.

All times are whole microseconds of one clock, the store's; ``limits.lua`` says the same again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
LIFE: Final = SECOND // 2
"""How long after its beginning a lease may be spent."""
AHEAD: Final = SECOND // 8
"""How far from now the beginning of a lease may be."""
JITTER: Final = SECOND // 4
SLOTS: Final = 512
# One that was told to come back is waited for so much longer.
GRACE: Final = SECOND // 4
# When to look again for room that only what is given back, or time, will make.
AGAIN: Final = SECOND // 10
LONGEST: Final = SECOND
# A clock that goes back by less is waited for; one that goes back further has been set anew.
STUMBLE: Final = SECOND


@dataclass(frozen=True, slots=True)
class Ask:
    """What one process says of one limit, which is ``amount`` in each ``interval`` (microseconds).

    It wants at least ``need`` or nothing, and up to ``most``. ``returned`` are pairs of a stamp and
    how much of what was lent with it is not used; ``owed`` was used beyond what was lent.
    """

    limit: str
    amount: float
    interval: int
    need: int = 0
    most: int = 0
    owed: int = 0
    returned: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """What one process, the ``member``, says at once: of each scope its limits, in one order.

    ``quiet`` are marks that all are to see, for so many microseconds each.
    """

    member: str
    scopes: Mapping[str, tuple[Ask, ...]] = field(default_factory=dict)
    quiet: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """What is lent of one scope's limits, in the order of the asks; or when to ask again.

    It may be spent from ``delay`` microseconds after now on; ``stamps`` are named when some of it
    is given back. With a ``wait`` there is nothing, and asking earlier than that is of no use.
    """

    wait: int = 0
    delay: int = 0
    amounts: tuple[int, ...] = ()
    stamps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store says: a lease of each scope, and for how long each mark yet holds."""

    leases: Mapping[str, Lease]
    quiet: Mapping[str, int] = field(default_factory=dict)


NOTHING: Final = Lease()


class _Account:
    """What is known of one limit."""

    __slots__ = ("credit", "free_at", "low", "now", "slots", "total")

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self.now: int = kept.get("now", 0)
        self.low: int = kept.get("low", 0)
        self.total: int = kept.get("total", 0)
        self.free_at: float = kept.get("free_at", 0.0)
        self.credit: float = kept.get("credit", 0.0)
        self.slots: dict[int, int] = {int(slot): n for slot, n in kept.get("slots", ())}

    def plain(self) -> dict[str, object]:
        return {
            "now": self.now,
            "low": self.low,
            "total": self.total,
            "free_at": self.free_at,
            "credit": self.credit,
            "slots": [[slot, n] for slot, n in self.slots.items() if n],
        }


class _Entry:
    """One ask, and the account that it is about."""

    __slots__ = ("account", "ask", "burst", "paced", "rate", "slot")

    def __init__(self, ask: Ask, account: _Account, now: int) -> None:
        self.ask, self.account = ask, account
        self.slot = (ask.interval + LIFE + JITTER) // (SLOTS - 1)
        self.paced = ask.interval <= MINUTE
        # A little below the limit: what counts, counts for a little longer than the interval.
        self.rate = ask.amount / (self.slot * SLOTS)
        self.burst = max(1, math.floor(self.rate * SECOND / 10))
        self._advance(now)
        self._take_back()
        self._charge()

    def _advance(self, now: int) -> None:
        account = self.account
        if now < account.now - STUMBLE:
            # The clock was set back: all that counts is as if it had been spent now.
            account.slots = {now // self.slot: account.total}
            account.free_at = now + max(0.0, account.free_at - account.now)
            account.now = now
        account.now = max(account.now, now)
        account.low = account.now // self.slot - SLOTS + 1
        for slot in [slot for slot in account.slots if slot < account.low]:
            account.total -= account.slots.pop(slot)

    def _take_back(self) -> None:
        account = self.account
        for stamp, given in self.ask.returned:
            amount = min(given, account.slots.get(stamp, 0))
            if amount > 0:
                account.slots[stamp] -= amount
                account.total -= amount
                ahead = max(0.0, account.free_at - account.now) * self.rate
                back = min(float(amount), ahead)
                account.free_at -= back / self.rate
                most = max(float(self.burst), self.rate * SECOND)
                account.credit = min(account.credit + (amount - back), most)

    def _charge(self) -> None:
        if self.ask.owed:
            self.count(self.ask.owed, 0)

    def count(self, amount: int, delay: int) -> int:
        """From ``delay`` on so much counts as spent; returns the stamp."""
        account = self.account
        stamp = (account.now + delay) // self.slot
        account.slots[stamp] = account.slots.get(stamp, 0) + amount
        account.total += amount
        drawn = min(account.credit, float(amount))
        account.credit -= drawn
        account.free_at = max(float(account.now), account.free_at) + (amount - drawn) / self.rate
        return stamp

    @property
    def ahead(self) -> int:
        """Microseconds until the lease before it ends."""
        if not self.paced:
            return 0
        return max(0, math.ceil(self.account.free_at - self.account.now))

    @property
    def wait(self) -> int:
        """Microseconds after which there may be room for the need; 0: there is."""
        if not self.ask.need:
            return 0
        excess = self.account.total + min(self.ask.need, self.ask.amount) - self.ask.amount
        return max(AGAIN if excess > 0 else 0, min(self.ahead - AHEAD, LONGEST))

    @property
    def span(self) -> int:
        """Microseconds that what it wants takes, at the pace."""
        if not self.paced:
            return 1
        return math.ceil(max(1, self.ask.need, min(self.ask.most, self.burst)) / self.rate)

    @property
    def room(self) -> int:
        """What may be lent now; the need has room."""
        ask, account = self.ask, self.account
        if not ask.need and self.ahead > AHEAD:
            return 0
        most = ask.most
        if self.paced:
            most = min(most, math.floor(account.credit) + self.burst)
        return max(ask.need, min(most, math.floor(ask.amount - account.total)))


class _Page:
    """One scope: its accounts, and the line of those who wait for room.

    Each stands in it with the time until which it is waited for, and how long what it wants takes.
    """

    __slots__ = ("accounts", "line")

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self.line: list[tuple[str, int, int]] = [tuple(one) for one in kept.get("line", ())]
        self.accounts = {name: _Account(one) for name, one in kept.get("accounts", {}).items()}

    def plain(self) -> dict[str, object]:
        accounts = {name: account.plain() for name, account in self.accounts.items()}
        return {"line": self.line, "accounts": accounts}

    def lend(self, member: str, asks: tuple[Ask, ...], now: int) -> Lease:
        entries = [self._entry(ask, now) for ask in asks]
        self.line = [one for one in self.line if now < one[1] <= now + LONGEST + GRACE]
        place = next((n for n, one in enumerate(self.line) if one[0] == member), len(self.line))
        ahead, behind = self.line[:place], self.line[place + 1 :]
        is_needy = any(ask.need for ask in asks)
        if not any(ask.need or ask.most for ask in asks):
            self.line = ahead + behind
            return NOTHING
        wait = max(entry.wait for entry in entries)
        if ahead:
            # Half of it: those ahead may want less by then, and room that nobody takes is lost.
            wait = min(max(wait, 0) + (sum(one[2] for one in ahead) + 1) // 2, LONGEST)
        mine = [(member, now + wait + GRACE, max(entry.span for entry in entries))]
        self.line = ahead + (mine if is_needy and wait > 0 else []) + behind
        return Lease(wait=wait) if wait > 0 else _lent(entries)

    def _entry(self, ask: Ask, now: int) -> _Entry:
        account = self.accounts.setdefault(ask.limit, _Account({}))
        return _Entry(ask, account, now)


def _lent(entries: list[_Entry]) -> Lease:
    amounts = tuple(entry.room for entry in entries)
    if not any(amounts):
        return Lease(wait=AGAIN)
    delay = max(entry.ahead for entry, n in zip(entries, amounts, strict=True) if n)
    stamps = tuple(
        entry.count(n, delay) if n else 0 for entry, n in zip(entries, amounts, strict=True)
    )
    return Lease(0, delay, amounts, stamps)


class Book:
    """All that a store keeps, as a value that can be written down: for stores of your own.

    ``exchange`` is one step of it, to be taken by one process at a time.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        """``kept``: what ``plain`` gave, or None for an empty one."""
        kept = kept or {}
        self._pages = {name: _Page(page) for name, page in kept.get("pages", {}).items()}
        self._quiet: dict[str, int] = dict(kept.get("quiet", {}))

    def plain(self) -> dict[str, object]:
        """The book as JSON data."""
        pages = {name: page.plain() for name, page in self._pages.items()}
        return {"pages": pages, "quiet": self._quiet}

    def exchange(self, message: Message, now: int) -> Answer:
        """Hear what a process says at ``now`` (microseconds), and answer it."""
        for mark, left in message.quiet.items():
            self._quiet[mark] = max(self._quiet.get(mark, 0), now + left)
        self._quiet = {mark: until for mark, until in self._quiet.items() if until > now}
        leases = {
            name: self._pages.setdefault(name, _Page({})).lend(message.member, asks, now)
            for name, asks in message.scopes.items()
        }
        return Answer(leases, {mark: until - now for mark, until in self._quiet.items()})
