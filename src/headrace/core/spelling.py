"""Which known name an unknown one was meant to be."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


# What other libraries call settings.
ELSEWHERE: Final = {
    "api_base": "base_url",
    "concurrency": "max_concurrent_requests",
    "max_concurrency": "max_concurrent_requests",
    "max_parallel_requests": "max_concurrent_requests",
    "max_workers": "max_concurrent_requests",
    "max_retries": "max_attempts",
    "model": "models",
    "model_name": "models",
    "model_names": "models",
    "num_retries": "max_attempts",
    "params": "sampling_params",
    "requests_per_minute": "max_requests_per_minute",
    "rpm": "max_requests_per_minute",
    "max_rpm": "max_requests_per_minute",
    "timeout": "request_timeout",
    "tokens_per_minute": "max_tokens_per_minute",
    "tpm": "max_tokens_per_minute",
    "max_tpm": "max_tokens_per_minute",
}
_FEW: Final = 12
# Fewer letters begin many names, and say nothing about which was meant.
_TELLING: Final = 3
_ALIKE: Final = 0.75


def near(word: str, known: Iterable[str]) -> str | None:
    """The known name that ``word`` cuts short or misspells; None where there is none like it."""
    names = list(known)
    longer = [name for name in names if len(word) >= _TELLING and name.startswith(word)]
    return next(iter(longer or difflib.get_close_matches(word, names, 1, _ALIKE)), None)


def meant(word: str, known: Iterable[str], instead: str | None = None) -> str:
    """The end of a sentence about an unknown name: what to do instead, or all that there are."""
    names = sorted(known)
    if instead is None and (like := near(word, names)) is not None:
        instead = f"did you mean {like}?"
    is_short = instead is None or len(names) <= _FEW
    there_are = f" (there are {', '.join(names)})" if names and is_short else ""
    return there_are if instead is None else f"; {instead}{there_are}"
