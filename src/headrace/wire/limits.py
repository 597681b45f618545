"""What reply headers say about limits: how long to wait, what is left, which headers to keep.

Header names come in lower case. Nothing here raises, whatever a server writes; what cannot be
read, and what is negative, counts as absent. Dates count from the reply's own ``Date`` header, so
that no clock of ours takes part.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

TOO_MANY_REQUESTS: Final = 429
LONGEST: Final = 86_400.0
Dimension: TypeAlias = Literal["requests", "tokens", "input_tokens", "output_tokens"]

_SHORT: Final = 16
_MINUTE: Final = 60.0
_DAY: Final = 86_400.0
_EPOCH_SECONDS: Final = 1e9
_EPOCH_MILLISECONDS: Final = 1e12
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")
_SPAN: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")
_SPANS: Final = re.compile(rf"(?:{_SPAN.pattern})+")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit as a server tells it: how much in all, how much is left, seconds until it is full.

    ``interval`` is the seconds that the limit is counted over, where the header's name says so.
    """

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None
    interval: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the headers of one reply say; None where they say nothing.

    ``input_tokens`` and ``output_tokens`` are told apart by some servers; ``tokens`` is both.
    ``account`` is whose limits they are, where that is told, too.
    """

    requests: Limit | None = None
    tokens: Limit | None = None
    input_tokens: Limit | None = None
    output_tokens: Limit | None = None
    account: str | None = None


NO_LIMITS: Final = Limits()


class _Row(NamedTuple):
    """Where one limit stands: the names of its three headers, and its interval in seconds."""

    dimension: Dimension
    limit: str
    remaining: str
    reset: str
    interval: float | None = None


def _x(dimension: Dimension, what: str, interval: float | None = None) -> _Row:
    limit, remaining, reset = (f"x-ratelimit-{s}-{what}" for s in ("limit", "remaining", "reset"))
    return _Row(dimension, limit, remaining, reset, interval)


def _anthropic(dimension: Dimension) -> _Row:
    name = f"anthropic-ratelimit-{dimension.replace('_', '-')}"
    return _Row(dimension, f"{name}-limit", f"{name}-remaining", f"{name}-reset")


# Of several rows of one dimension the first that a reply has wins: short intervals stand first.
_ROWS: Final = (
    # OpenAI, Azure, Groq, Fireworks. The names do not say the interval (Groq: requests of a day).
    _x("requests", "requests"),
    _x("tokens", "tokens"),
    _x("tokens", "project-tokens"),
    _anthropic("requests"),
    _anthropic("tokens"),
    _anthropic("input_tokens"),
    _anthropic("output_tokens"),
    # Mistral and Cerebras.
    _x("requests", "req-minute", _MINUTE),
    _x("requests", "requests-minute", _MINUTE),
    _x("requests", "requests-day", _DAY),
    _x("tokens", "tokens-minute", _MINUTE),
    _x("tokens", "tokens-day", _DAY),
    _Row(
        "tokens",
        "ratelimitbysize-limit",
        "ratelimitbysize-remaining",
        "ratelimitbysize-reset",
        60.0,
    ),
    # Fireworks.
    _x("input_tokens", "tokens-prompt"),
    _x("output_tokens", "tokens-generated"),
    # Together, a second.
    _Row("requests", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", 1.0),
    _Row("tokens", "x-tokenlimit-limit", "x-tokenlimit-remaining", "x-tokenlimit-reset", 1.0),
)
# An account, and the part of it that may have limits of its own.
_ACCOUNTS: Final = (
    "openai-organization",
    "openai-project",
    "anthropic-organization-id",
    "anthropic-workspace-id",
)
_KEPT: Final = frozenset(
    {
        *_ACCOUNTS,
        "content-type",
        "date",
        "x-should-retry",
        "cf-ray",
        "x-generation-id",
        "x-amzn-errortype",
    }
)
_KEPT_PIECES: Final = re.compile(
    r"request-?id|ratelimit|tokenlimit|processing|^retry-after|bedrock-input-token-count"
)


def keeps(name: str) -> bool:
    """Is the header of this lower-case name worth keeping in ``Reply.headers``?"""
    return name in _KEPT or _KEPT_PIECES.search(name) is not None


def hint(headers: Mapping[str, str], status: int) -> float | None:
    """Seconds that the server asks us to wait, at most a day; None where it does not say.

    ``retry-after-ms``, ``retry-after`` in seconds, ``retry-after`` as a date, in this order; on a
    429 without these, or with zero, the longest reset among the limits that have nothing left.
    """
    asked = _milliseconds(headers.get("retry-after-ms"))
    if asked is None and (written := headers.get("retry-after")) is not None:
        asked = _number(written)
        if asked is None:
            asked = _until(_http_date(written), headers)
    if not asked and status == TOO_MANY_REQUESTS:
        asked = _empty_until(headers) or asked
    return None if asked is None else min(asked, LONGEST)


def read_limits(headers: Mapping[str, str]) -> Limits:
    """The limits that the headers tell, in any dialect of the providers known."""
    rows = _rows_of(tuple(headers))
    if not rows:
        return NO_LIMITS
    found: dict[Dimension, Limit] = {}
    for row in rows:
        if row.dimension not in found:
            limit = _read(row, headers)
            if limit is not None:
                found[row.dimension] = limit
    names = [headers[name] for name in _ACCOUNTS if name in headers]
    return Limits(**found, account=" ".join(names) or None)


# The headers of one server have the same names again and again.
@lru_cache(maxsize=256)
def _rows_of(names: tuple[str, ...]) -> tuple[_Row, ...]:
    return tuple(row for row in _ROWS if row.limit in names or row.remaining in names)


def _read(row: _Row, headers: Mapping[str, str]) -> Limit | None:
    limit, remaining = _number(headers.get(row.limit)), _number(headers.get(row.remaining))
    if limit is None and remaining is None:
        return None
    return Limit(limit, remaining, reset_after(headers.get(row.reset), headers), row.interval)


def _empty_until(headers: Mapping[str, str]) -> float | None:
    limits = [_read(row, headers) for row in _rows_of(tuple(headers))]
    resets = [limit.reset for limit in limits if limit is not None and limit.remaining == 0]
    return max((reset for reset in resets if reset is not None), default=None)


def reset_after(written: str | None, headers: Mapping[str, str]) -> float | None:
    """Seconds until a reset, at most a day; None where ``written`` is unreadable or in the past.

    A number is seconds, or a time since the epoch in seconds (from 1e9) or milliseconds (from
    1e12); else a span as Go writes it (``1h2m3s``, ``20ms``), RFC 3339, or an HTTP date.
    """
    if written is None:
        return None
    seconds = _span(written)
    if seconds is None:
        number = _number(written)
        if number is None:
            seconds = _until(_rfc3339(written) or _http_date(written), headers)
        elif number >= _EPOCH_SECONDS:
            scale = 1e-3 if number >= _EPOCH_MILLISECONDS else 1.0
            seconds = _until(_epoch(number * scale), headers)
        else:
            seconds = number
    return None if seconds is None else min(seconds, LONGEST)


def _number(written: str | None) -> float | None:
    if written is None:
        return None
    if len(written) < _SHORT and written.isascii() and written.isdigit():
        return float(written)
    if not _NUMBER.fullmatch(written.strip()):
        return None
    number = float(written)
    return number if math.isfinite(number) else None


def _milliseconds(written: str | None) -> float | None:
    number = _number(written)
    return None if number is None else number / 1000


@lru_cache(maxsize=256)
def _span(written: str) -> float | None:
    written = written.strip()
    if not _SPANS.fullmatch(written):
        return None
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _SPAN.findall(written))
    return seconds if math.isfinite(seconds) else None


def _rfc3339(written: str) -> datetime | None:
    try:
        return _in_utc(datetime.fromisoformat(written.strip()))
    except ValueError:
        return None


def _http_date(written: str | None) -> datetime | None:
    """All three forms of RFC 9110, 5.6.7."""
    try:
        return None if written is None else _in_utc(parsedate_to_datetime(written))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _epoch(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _until(moment: datetime | None, headers: Mapping[str, str]) -> float | None:
    now = None if moment is None else _http_date(headers.get("date"))
    if moment is None or now is None:
        return None
    seconds = (moment - now).total_seconds()
    return seconds if seconds >= 0 else None
