"""What an error says about coming back: after how long, and whether a day's quota is used up.

Headers, fields of the body and its words are read, and the longest wait counts: who comes back
sooner than any of them says is refused again. Words count on rate limits alone, since servers
quote prompts in other errors, and no prompt may keep a route quiet. Nothing here raises, whatever
a server writes; what cannot be read, and what is negative, counts as absent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from headrace.core.errors import QuotaError, RateLimitError
from headrace.wire.limits import LONGEST, TOO_MANY_REQUESTS, hint

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError
    from headrace.core.reply import Reply
    from headrace.wire.complaint import Complaint

_UNITS: Final = {
    **dict.fromkeys(("ns",), 1e-9),
    **dict.fromkeys(("us", "µs"), 1e-6),
    **dict.fromkeys(("millisecond", "ms"), 1e-3),
    **dict.fromkeys(("second", "sec", "s"), 1.0),
    **dict.fromkeys(("minute", "min", "m"), 60.0),
    **dict.fromkeys(("hour", "hr", "h"), 3_600.0),
    **dict.fromkeys(("day", "d"), 86_400.0),
}
# Not of all Unicode: there are letters that match an s and are none of the units.
_FLAGS: Final = re.IGNORECASE | re.ASCII
_PART: Final = re.compile(
    rf"([0-9]+(?:\.[0-9]+)?) ?({'|'.join(sorted(_UNITS, key=len, reverse=True))})s?(?![a-z])",
    _FLAGS,
)
# OpenAI and Groq write "try again in 6m0s", Azure "retry after 7 seconds", Google "retry in 3.4s",
# GitHub "wait 8 hours 24 minutes".
_WORDS: Final = re.compile(
    r"\b(?:(?:try(?:ing)? again|retry(?:ing)?) (?:in|after)|wait(?: for)?) (?:about )?~?"
    rf"((?:{_PART.pattern}(?:,? and |, | )?)+)",
    _FLAGS,
)
_LONG: Final = re.compile(
    r"per-day|\AToo many tokens per day"  # OpenRouter and Bedrock
    r"|calls / month"  # Cohere's trial keys
)
_DAILY: Final = re.compile("PerDay|per_day|[a-z]Daily")


def wait(kind: type[ProviderError], said: Complaint, reply: Reply) -> float | None:
    """Seconds of quiet that the server asks for, at most a day; None where it does not say."""
    told = [hint(reply.headers, reply.status)]
    if kind is not QuotaError:
        told.append(said.wait)
        if said.headers:
            date = {"date": reply.headers.get("date", "")}
            told.append(hint({**date, **said.headers}, TOO_MANY_REQUESTS))
    if kind is RateLimitError:
        told.append(in_words(said.message))
    return max((each for each in told if each is not None), default=None)


def in_words(message: str) -> float | None:
    """Seconds to wait as a sentence says it, at most a day."""
    found = _WORDS.search(message)
    if found is None:
        return None
    parts = _PART.findall(found[1])
    return min(sum(float(number) * _UNITS[unit.lower()] for number, unit in parts), LONGEST)


def is_spent(said: Complaint, reply: Reply) -> bool:
    """Is a quota of a day or more used up, and nobody says when there is more of it?

    Where Google names a quota of the day, the delay beside it is not of that quota.
    """
    if _DAILY.search(" ".join((said.message, *said.quotas))):
        return True
    return _LONG.search(said.message) is not None and wait(RateLimitError, said, reply) is None
