"""Why nobody may go: the arithmetic of admission, asked by who only wants to know.

Nothing here is on the way of a request; ``engine.admission``'s lock is held.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from headrace.core.status import Binding
from headrace.policy.breaker import NEVER, State
from headrace.policy.buckets import DAY, SECOND
from headrace.policy.cost import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.engine.admission import Admission, Waiter
    from headrace.engine.limits import Row
    from headrace.engine.scope import RouteState
    from headrace.policy.cost import Cost

# A sentence has room for so many.
_MOST_SAID: Final = 3
# Nanoseconds until it passes, and what to say of it.
Reason: TypeAlias = tuple[int, Binding]


def of(admission: Admission, now: int) -> tuple[Binding, ...]:
    """What those wait for who have waited longest, each thing once."""
    said: dict[tuple[str, str], Binding] = {}
    for head in admission.heads():
        for binding in _of(head, now):
            said.setdefault((binding.what, binding.where), binding)
    return tuple(said.values())


def awaited(admission: Admission, waiter: Waiter, now: int) -> str:
    """What one waiter waits for, as the end of a sentence.

    Where there is room for it, others came before, who wait for more.
    """
    found = _routes(waiter, now)
    for head in () if found else admission.heads():
        found = found or _routes(head, now)
    first = dict.fromkeys(str(reasons[0][1]) for reasons in found)
    return f"while it waited for {' or '.join(tuple(first)[:_MOST_SAID]) or 'its turn'}"


def _of(head: Waiter, now: int) -> Iterator[Binding]:
    """What one waits for; it goes by the first route with room, so that comes first."""
    for reasons in _routes(head, now):
        yield from (binding for _, binding in reasons)


def _routes(head: Waiter, now: int) -> list[list[Reason]]:
    """Why it may not go out by each route that it waits for, the first to have room first."""
    routes = [explain(state, head.cost, now) for state in head.order.awaited(now)]
    return sorted(filter(None, routes), key=_outlook)


def _outlook(reasons: list[Reason]) -> int:
    """How long a route is out of the question; a slot comes free any time."""
    wait, binding = reasons[0]
    if binding.what in {"gone", "breaker"}:
        return wait
    return 0 if wait == NEVER else wait


def explain(state: RouteState, cost: Cost, now: int) -> list[Reason]:
    """Why a request of this cost may not go out here, what takes longest first; empty: it may.

    The longest wait is what ``RouteState.wait`` says.
    """
    reasons = [reason for reason in _reasons(state, cost, now) if reason[0] > 0]
    return sorted(reasons, key=itemgetter(0), reverse=True)


def _reasons(state: RouteState, cost: Cost, now: int) -> Iterator[Reason]:
    where = state.route.id
    if state.gone is not None:
        yield _reason("gone", where, NEVER, state=str(state.gone))
        return
    yield from _slots(state)
    yield _quiet(state, now)
    breaker = state.breaker
    if breaker.state is not State.CLOSED:
        yield _reason("breaker", where, breaker.wait(now), state=_standing(state, now))
    account = state.account
    for scope in state.scopes:
        yield from _rates(scope.limits, scope.name, cost, now)
    if account.hearing is not None:
        yield from _rates(account.hearing.limits, account.name, cost, now)
    if not state.is_told:
        rate, wait = account.found.rate, account.found.foresee(now)
        yield _reason("pace", account.name, wait, limit=rate, source="found")


def _slots(state: RouteState) -> Iterator[Reason]:
    said: set[float] = set()
    for scope in state.scopes:
        slots = scope.concurrency
        # A route without a number of its own has that of the client, and is not named beside it.
        if scope.in_flight < slots.limit or slots.limit in said:
            continue
        said.add(slots.limit)
        is_given = slots.is_fixed or (slots.is_stated and slots.limit == slots.ceiling)
        yield _reason(
            "concurrency",
            scope.name,
            NEVER,
            limit=slots.limit,
            used=scope.in_flight,
            source="given" if is_given else "found",
        )


def _quiet(state: RouteState, now: int) -> Reason:
    account = state.account
    source = "found" if account.is_guessed else "told"
    return _reason("quiet", account.name, account.parked_until - now, source=source)


def _standing(state: RouteState, now: int) -> str:
    breaker = state.breaker
    if breaker.state is State.HALF_OPEN:
        return "half-open, its probe is under way"
    return "open until it is reset" if breaker.wait(now) == NEVER else "open"


def _rates(limits: Iterable[Row], where: str, cost: Cost, now: int) -> Iterator[Reason]:
    for index, limit in limits:
        if amount := cost[index]:
            span = "day" if limit.interval >= DAY else "min"
            yield _reason(
                f"{DIMENSIONS[index].replace('_', ' ')}/{span}",
                where,
                limit.foresee(now, amount),
                limit=limit.amount,
                used=limit.used(now),
                source=limit.source,
            )


def _reason(what: str, where: str, wait: int, **more: Any) -> Reason:
    return wait, Binding(what, where, seconds=None if wait == NEVER else wait / SECOND, **more)
