"""What a request names and the server has not: with 403 or 404, and no fault of the route.

A whole route is closed by these statuses, and one prompt with a file that has expired must not do
that. Messages are matched from their beginning, and none of these is what a wrong path answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headrace.wire.complaint import Complaint

_FORBIDDEN, _NOT_FOUND = 403, 404
_THING: Final = re.compile(
    r"you do not have permission to access the file \S|cachedcontent not found"  # Gemini
    # OpenRouter: nobody serves the model with images or tools; without these somebody does.
    r"|no endpoints found that (?:support|can handle)\b"
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
