"""What passes through a fake server, as frozen values: requests seen, answers, 429s sent."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias, cast

import orjson

Headers: TypeAlias = tuple[tuple[str, str], ...]
DialectName: TypeAlias = Literal[
    "openai",
    "openai_responses",
    "anthropic",
    "gemini",
    "cohere",
    "ollama",
    "bedrock",
    "bedrock_anthropic",
]


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request for an answer, as it arrived.

    ``n`` counts all of them from 0, ``nth`` those with the same ``prompt`` (the text of the last
    user message) from 0. ``at`` is ``time.monotonic()`` in seconds when its first byte was read;
    ``in_flight`` counts the requests being answered then, this one included. ``connection`` numbers
    the connections from 0. ``headers`` have lower-case names; ``key`` is the API key it came with.
    ``stream`` says whether a stream was asked for; ``account`` is the key's, where the server was
    told of it.
    """

    n: int
    nth: int
    at: float
    prompt: str
    model: str
    dialect: DialectName
    path: str
    in_flight: int
    connection: int
    key: str | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    stream: bool = False
    account: str | None = None

    @property
    def json(self) -> dict[str, object]:
        """The body, read."""
        return cast("dict[str, object]", orjson.loads(self.body))

    @property
    def scope(self) -> Hashable:
        """What the server's limits belong to: the account, or the API key, with the model."""
        return (self.account or self.key, self.model)


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole HTTP reply, before anything goes wrong with it.

    Of a stream ``frames`` are the parts that ``body`` is made of.
    """

    status: int
    body: bytes
    headers: Headers = ()
    content_type: str = "application/json"
    frames: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Throttled:
    """A 429: when its headers were written (``time.monotonic()``) and the seconds it asked for."""

    at: float
    hint: float | None
    scope: Hashable


def hint_of(headers: Headers) -> float | None:
    """Seconds that reply headers ask to wait: ``retry-after-ms`` before ``retry-after``.

    None where there is no hint that can be read.
    """
    named = {name.lower(): value for name, value in headers}
    if (millis := _number(named.get("retry-after-ms", ""))) is not None:
        return millis / 1000
    text = named.get("retry-after", "")
    seconds = _number(text)
    return _seconds_until(text) if seconds is None else seconds


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _seconds_until(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
        return max(0.0, when.timestamp() - datetime.now(UTC).timestamp())
    except (ValueError, OverflowError):
        return None
