"""What a request names or holds that the server has not, or does not take: no fault of the route.

A whole route is closed by these statuses, and one prompt with a file that has expired must not do
that. Messages are matched from their beginning, and none of these is what a wrong path answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headrace.wire.complaint import Complaint

_FORBIDDEN, _NOT_FOUND, _TROUBLE = 403, 404, 500
_REFUSALS: Final = frozenset({400, 422})
_KINDS: Final = r"(?:image|vision|audio|video|file|document|tool|function)"
# Where it is surely meant: statuses that would close the route, or be taken for trouble.
_NOT_TAKEN: Final = re.compile(
    rf"no endpoints found that (?:support|can handle)\b|{_KINDS} input is not supported"
    r"|tools param requires|jinja exception",  # OpenRouter and llama.cpp
    re.IGNORECASE,
)
_SAID_SO: Final = re.compile(
    rf"\b(?:does not|doesn't) support {_KINDS}s?\b"
    rf"|(?<![-\w]){_KINDS}s?(?:_url)?(?: (?:inputs?|content|calling|use|uploads))?"
    r" (?:is|are) (?:not supported|not enabled|only supported by)",
    re.IGNORECASE,
)
_THING: Final = re.compile(
    r"you do not have permission to access the file \S|cachedcontent not found"  # Gemini
    r"|(?:item|(?:previous )?response|conversation|container|vector store|prompt) with id\b"
    r"|no such file object|file not found: \S",
    re.IGNORECASE,
)


def is_missed(status: int, said: Complaint) -> bool:
    """Is it something in the request that there is not, and neither the model nor the address?"""
    if status not in {_FORBIDDEN, _NOT_FOUND}:
        return False
    # OpenAI says which field of the request it means.
    param = said.details.get("param") if status == _NOT_FOUND else None
    return param not in {None, "", "model"} or _THING.match(said.message) is not None


def is_not_taken(status: int, said: Complaint) -> bool:
    """Is it a kind of content or a tool that this model has no place for, where others have?"""
    if status == _NOT_FOUND or status >= _TROUBLE:
        return _NOT_TAKEN.match(said.message) is not None
    return False


def is_said_so(status: int, said: Complaint) -> bool:
    """The same, of a status that says nothing else; asked where nothing else is known of it."""
    return status in _REFUSALS and _SAID_SO.search(said.message) is not None
