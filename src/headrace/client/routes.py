"""How the routes of a client stand, and what is done to them by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.client.assembly import Assembly
from headrace.config import check_seconds
from headrace.engine import standing

if TYPE_CHECKING:
    from headrace.core.status import RouteStatus, Statistics


class Routes(Assembly):
    """The verbs for routes. They may be called from any thread, before, in and after a run."""

    def routes(self) -> list[RouteStatus]:
        """How each route stands that the client has, or that a call or a row has named."""
        return standing.of(self._sender, self._fleet.states())

    def statistics(self) -> Statistics:
        """How the client stands: what was sent, what came of it, and what binds now.

        ``binding`` names what requests wait for: limits, quiet, breakers. It may be called from any
        thread, before, in and after a run; only attempts of this client count.
        """
        return standing.statistics(self._sender, self._fleet.states(), self._leasing)

    def trip(self, route: str, seconds: float | None = None) -> None:
        """Send nothing by the route of this id for so many seconds, or (None) until it is reset.

        What is under way comes to its end. After the seconds a probe is let through, as after any
        break. Raises ``ConfigError`` for a route that there is not.
        """
        seconds = check_seconds("seconds", seconds)
        standing.trip(self._sender, self._fleet.state(route), seconds)

    def reset(self, route: str) -> None:
        """Use the route of this id again at once, whatever is known against it.

        Its breaker is closed, the quiet that its server asked for is over, and one that was gone
        is there again. Raises ``ConfigError`` for a route that there is not.
        """
        standing.reset(self._sender, self._fleet.state(route))
