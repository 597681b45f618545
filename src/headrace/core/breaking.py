"""When a circuit breaker opens, and for how long: what a user may set."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from headrace.core.bounds import NoFlag
from headrace.core.checked import Checked
from headrace.core.errors import (
    ConnectionLostError,
    NotSentError,
    OutcomeUnknownError,
    OverloadedError,
    PageError,
    ProviderError,
    ReplyError,
    TruncatedError,
)

# What may count; all others say that the route works, that it is busy, or that it is closed to us.
_MAY_COUNT: Final = {
    kind.code: kind
    for kind in (
        NotSentError,
        OutcomeUnknownError,
        ConnectionLostError,
        TruncatedError,
        OverloadedError,
        ReplyError,
        PageError,
    )
}
_USUAL: Final = (NotSentError, OutcomeUnknownError, OverloadedError, PageError)


def _classes(given: object) -> object:
    """Classes of errors, also from their codes; raises ``ValueError`` for what never counts."""
    several = given if isinstance(given, list | tuple | set | frozenset) else (given,)
    if not several:
        msg = f"it must name at least one of {', '.join(_MAY_COUNT)}"
        raise ValueError(msg)
    return tuple(dict.fromkeys(_class(each) for each in several))


def _class(given: object) -> type[ProviderError]:
    for code, kind in _MAY_COUNT.items():
        if given is kind or given == code:
            return kind
    shown = given.__name__ if isinstance(given, type) else repr(given)
    msg = (
        f"{shown} never counts; name some of {', '.join(_MAY_COUNT)}, or their classes of"
        " headrace.errors"
    )
    raise ValueError(msg)


_Count = Annotated[int, Field(ge=1, le=1_000_000), NoFlag]
_Seconds = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False), NoFlag]


class BreakerSettings(Checked):
    """When a route is left alone after failures, and for how long.

    ``failures`` in a row open its breaker for ``first_break`` seconds; each break is twice as long
    as the one before, up to ``longest_break``, less up to a quarter by chance. After it as many as
    ``probes`` requests are let through at once: the first that is answered closes the breaker, the
    first that fails opens it anew. ``counts`` are the classes of errors that
    count, or their codes; what is wrong with one request, rate limits and cancellations never
    count. Raises ``ConfigError``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    failures: _Count = 5
    first_break: _Seconds = 1.0
    longest_break: _Seconds = 8.0
    probes: _Count = 1
    counts: Annotated[
        tuple[type[ProviderError], ...],
        BeforeValidator(_classes),
        PlainSerializer(lambda kinds: [kind.code for kind in kinds]),
    ] = _USUAL

    @model_validator(mode="after")
    def _breaks_grow(self) -> Self:
        if self.longest_break < self.first_break:
            msg = (
                f"longest_break ({self.longest_break:g} s) must not be below first_break"
                f" ({self.first_break:g} s)"
            )
            raise ValueError(msg)
        return self
