"""A clock that is off: AWS takes a signature for five minutes around its own time only.

A refusal says what time it is there. So a request that was signed for another time is signed anew,
as the AWS SDKs do it, and all that follow are signed for AWS's time.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_log: Final = logging.getLogger("headrace")
# Seconds: below AWS's five minutes; and how often a server may say another time.
_OFF: Final = 240.0
_BETWEEN: Final = 60.0
_SIGNED: Final = "%Y%m%dT%H%M%SZ"


class Skew:
    """How far AWS's time is ahead of this machine's, as a refusal has shown."""

    __slots__ = ("_learned_at", "_seconds")

    def __init__(self) -> None:
        self._seconds = 0.0
        self._learned_at: float | None = None

    def now(self, wall: float) -> float:
        """AWS's time when this machine's is ``wall``, both in seconds since the epoch."""
        return wall + self._seconds

    def is_to_blame(self, date: str | None, sent: Mapping[str, str], wall: float) -> bool:
        """Was a request refused at ``date`` that had been signed for another time?

        If so, the next one is signed for the right time.
        """
        there, signed = _http_date(date), _signed(sent.get("x-amz-date"))
        if there is None or signed is None or abs(there - signed) <= _OFF:
            return False
        is_new = self._learned_at is None or abs(wall - self._learned_at) >= _BETWEEN
        if is_new and abs(there - self.now(wall)) > _OFF:
            self._seconds, self._learned_at = there - wall, wall
            minutes, way = round(abs(there - wall) / 60), "slow" if there > wall else "fast"
            _log.warning(
                "this machine's clock is %d minutes %s, as AWS sees it; requests are signed for"
                " AWS's time, and the clock should be set",
                minutes,
                way,
            )
        return abs(there - self.now(wall)) <= _OFF


def _http_date(said: str | None) -> float | None:
    try:
        return None if said is None else parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return None


def _signed(said: str | None) -> float | None:
    try:
        found = None if said is None else datetime.strptime(said, _SIGNED).replace(tzinfo=UTC)
    except ValueError:
        return None
    return None if found is None else found.timestamp()
