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
_KINDS: Final = r"(?:image|vision|audio|video|file|document|tool|function|multi-?modal)"
# Where it is surely meant: statuses that would close the route, or be taken for trouble.
_NOT_TAKEN: Final = re.compile(
    rf"no endpoints found that (?:support|can handle)\b"  # OpenRouter
    rf"|{_KINDS} input is not supported|this server does not support {_KINDS}"  # llama.cpp
    r"|unsupported content\[\]\.type|tools param requires|jinja exception"
    r"|(?:failed to [a-z ]{1,40}: )*this model is missing data required for image",  # Ollama
    re.IGNORECASE,
)
_SAID_SO: Final = re.compile(
    rf"\b(?:does not|doesn't) support (?:the )?{_KINDS}s?\b"
    rf"|(?<![-\w]){_KINDS}s?(?:_url)?"
    r"(?: (?:inputs?(?: modality)?|content|calling|use|uploads|requests))?"
    r" (?:is|are) (?:not supported|not enabled|only supported by)"
    rf"|{_NOT_TAKEN.pattern}"  # newer llama.cpp and Ollama
    rf"|is not a multi-?modal model|\bat most \d+ {_KINDS}\(s\) may be provided"  # vLLM
    r"|\btool choice requires --"
    r"|\bvision (?:model|add-on) is not loaded"  # LM Studio
    r"|unknown variant `image_url`"  # DeepSeek
    r"|content\.type is invalid, allowed values: \['text'\]",  # Alibaba
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
