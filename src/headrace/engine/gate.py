"""Between admission and the first byte: is the route still open, and what does its refusal say?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.engine.admission import Permit
    from headrace.engine.attempt import Sender
    from headrace.engine.course import Course


class Gate:
    """What an attempt under way asks and tells; implements ``adapters.http.Gate``."""

    __slots__ = ("_course", "_permit", "_sender")

    def __init__(self, sender: Sender, course: Course, permit: Permit) -> None:
        self._sender = sender
        self._course = course
        self._permit = permit

    def is_shut(self) -> bool:
        """Was the route parked or lost since the attempt was admitted?"""
        state = self._permit.state
        if state.is_lost or state.account.parked_until > self._sender.clock.now():
            return True
        self._permit.left = True
        return False

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        """Park at once: the body of a refusal may take long, and nothing may be sent meanwhile."""
        self._sender.hear(self._course, self._permit, status, headers)
