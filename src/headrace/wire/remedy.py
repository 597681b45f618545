"""What to do about each kind of failure: the second half of an error's sentence."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from headrace.core.errors import (
    ContentFilterError,
    GoneError,
    NotTakenError,
    OverloadedError,
    PageError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RejectedError,
    ReplyError,
    TooLongError,
)

_REMEDIES: Final[dict[type[ProviderError], str]] = {
    OverloadedError: "try again a little later",
    RateLimitError: "send more slowly, or have the limit raised by the provider",
    QuotaError: "add credit or raise the spending limit at the provider, then run again",
    GoneError: "check the base_url, the API key and the model's name",
    RejectedError: "change this request",
    TooLongError: "shorten the prompt, or take a model with a larger context",
    NotTakenError: "leave out what it does not take, or ask another model",
    ContentFilterError: "change the prompt",
    ReplyError: "check that the base_url is that of an API",
    PageError: "check that the base_url is that of an API, and what stands on the way to it",
}
_BY_STATUS: Final = {
    401: "check the API key",
    403: "check what the API key may do, and from where",
    404: "check the model's name and the base_url",
    407: "check user name and password in proxy=",
}

NOT_FOUND: Final = 404
# What to do about a status where no model was asked.
Lost: TypeAlias = Mapping[int, str]
NOTHING: Final[Lost] = MappingProxyType({})


def remedy(kind: type[ProviderError], status: int | None = None, lost: Lost = NOTHING) -> str:
    """What to do, in a few words; ``lost`` is that where something else than a model is missing.

    It goes by the status; one that says more things counts where a route would be closed.
    """
    said = lost.get(status or 0)
    if said is not None and (status == NOT_FOUND or kind is GoneError):
        return said
    closed = _BY_STATUS.get(status or 0) if kind is GoneError else None
    return closed or _REMEDIES[kind]
