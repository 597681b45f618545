"""Limits and hints in the words of each vendor, from the levels of a simulated one."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.testing.windows import Level

HeaderDialect: TypeAlias = Literal[
    "openai", "anthropic", "groq", "mistral", "cerebras", "together", "fireworks"
]

# Requests of a day.
OF_DAY: Final = "requests_of_day"
_Words: TypeAlias = "dict[str, str | None]"
_OWN: Final[_Words] = {"input_tokens": "input-tokens", "output_tokens": "output-tokens"}
# Names of the limit, of what is left, and of the reset; {} is the dimension in the vendor's words.
# Where it is None it is not told.
_NAMES: Final[dict[HeaderDialect, tuple[str, _Words]]] = {
    "openai": ("x-ratelimit-{field}-{what}", {}),
    "groq": ("x-ratelimit-{field}-{what}", {"requests": None, OF_DAY: "requests"}),
    "anthropic": ("anthropic-ratelimit-{what}-{field}", _OWN),
    "mistral": ("x-ratelimit-{field}-{what}-minute", {"requests": "req"}),
    "cerebras": ("x-ratelimit-{field}-{what}-minute", {}),
    "together": ("x-{what}-{field}", {"requests": "ratelimit", "tokens": "tokenlimit"}),
    "fireworks": (
        "x-ratelimit-{field}-{what}",
        {"input_tokens": "tokens-prompt", "output_tokens": "tokens-generated"},
    ),
}
_RESETS: Final[dict[HeaderDialect, Callable[[float, float], str]]] = {
    "openai": lambda seconds, _now: f"{seconds * 1000:.0f}ms",
    "groq": lambda seconds, _now: f"{seconds // 60:.0f}m{seconds % 60:.3f}s",
    "anthropic": lambda seconds, now: datetime.fromtimestamp(now + seconds, UTC).isoformat(),
    "cerebras": lambda seconds, _now: f"{seconds:.3f}",
    "together": lambda seconds, _now: f"{seconds:.3f}",
}
_ACCOUNTS: Final[dict[HeaderDialect, str]] = {
    "openai": "openai-organization",
    "anthropic": "anthropic-organization-id",
}


def limit_headers(
    dialect: HeaderDialect, levels: Mapping[str, Level], wall: float, account: str | None = None
) -> dict[str, str]:
    """What ``levels`` look like in the headers of a reply sent at ``wall`` (seconds since 1970).

    ``account`` is told, too, where the vendor does that.
    """
    form, words = _NAMES[dialect]
    reset = _RESETS.get(dialect)
    found = {"date": format_datetime(datetime.fromtimestamp(wall, UTC), usegmt=True)}
    for name, level in levels.items():
        what = words.get(name, None if name == OF_DAY else name)
        if what is None:
            continue
        found[form.format(field="limit", what=what)] = f"{level.limit:.0f}"
        found[form.format(field="remaining", what=what)] = f"{level.remaining:.0f}"
        if reset is not None:
            # The date has whole seconds, and what counts from it is counted from there.
            found[form.format(field="reset", what=what)] = reset(level.reset, wall // 1)
    if account is not None and dialect in _ACCOUNTS:
        found[_ACCOUNTS[dialect]] = account
    return found


def hint_body(seconds: float) -> dict[str, object]:
    """How long to wait, as ``google.rpc`` writes it beside an error."""
    kind = "type.googleapis.com/google.rpc.RetryInfo"
    return {"details": [{"@type": kind, "retryDelay": f"{seconds:.3f}s"}]}


def hint_headers(seconds: float, *, whole: bool = False) -> dict[str, str]:
    """How long to wait: to the millisecond, or in ``whole`` seconds as most vendors say it."""
    if whole:
        return {"retry-after": str(math.ceil(seconds))}
    return {"retry-after-ms": f"{seconds * 1000:.0f}"}
