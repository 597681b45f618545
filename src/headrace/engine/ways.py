"""Where a request goes when its model fails it: the other models, in the order of its dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.fingerprint import Key
    from headrace.engine.choice import Choice
    from headrace.engine.course import MovedOn
    from headrace.engine.order import Order
    from headrace.engine.scope import RouteState


class Ways:
    """The sets of routes that one request takes, one after another."""

    __slots__ = ("_banned", "_choice", "_left", "context")

    def __init__(self, choice: Choice, context: RequestContext, key: Key) -> None:
        """``context`` is what it has been through, and goes on with."""
        self.context = context
        self._choice = choice
        self._left = iter(choice.in_turn(key.digest, context.occurrence))
        self._banned: set[RouteState] = set()

    def next(self) -> tuple[Order, bool]:
        """Routes, and whether it may move on from them; raises the last error where none is left.

        Once every model has been drawn, those that have not refused it for good take what is left.
        """
        choice, context = self._choice, self.context
        order = next(self._left, None)
        if order is not None:
            return order, len(order.lanes) < len(choice.lanes)
        left = choice.order.only(lambda state: state not in self._banned)
        if not left.lanes and context.failures and any(s.gone is None for s in choice.lanes):
            *before, last = context.failures
            last.history = tuple(before)
            raise last
        return (left if left.lanes else choice.order), False

    def move(self, moved: MovedOn) -> None:
        """It goes on elsewhere."""
        self.context = self.context.carrying(moved.context)
        self._banned.update(moved.banned)
