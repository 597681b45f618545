"""The numbers that settings are made of, with their bounds, each kind once.

``True`` is a number for Python, and a slip wherever a number is asked for. The bounds are beyond
what anybody means, and within what sums of nanoseconds and of tokens bear.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeGuard

from pydantic import AfterValidator, BeforeValidator, Field

MOST_CONCURRENT: Final = 100_000
_LEAST: Final = 1e-9
_MOST: Final = 1e12
_LONGEST: Final = 1e9


def _no_flag(given: object) -> object:
    if isinstance(given, bool):
        msg = "it must be a number"
        raise ValueError(msg)  # noqa: TRY004  pydantic tells what a ValueError says
    return given


def _no_dust(given: float) -> float:
    if given < _LEAST:
        msg = f"it must be {_LEAST:g} or more"
        raise ValueError(msg)
    return given


def is_span(value: object) -> TypeGuard[float]:
    """Is it a number of seconds, above zero and within what a setting may have?"""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= _LONGEST  # type: ignore[operator]  # checked just before


SPAN: Final = f"a number of seconds above zero, up to {_LONGEST:g}"
NoFlag: Final = BeforeValidator(_no_flag)
# So much in a minute, or in a day.
Rate = Annotated[
    float, Field(gt=0, le=_MOST, allow_inf_nan=False), AfterValidator(_no_dust), NoFlag
]
Seconds = Annotated[float, Field(gt=0, le=_LONGEST, allow_inf_nan=False), NoFlag]
# Seconds that may be none at all.
Pause = Annotated[float, Field(ge=0, le=_LONGEST, allow_inf_nan=False), NoFlag]
Weight = Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False), NoFlag]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NoFlag]
Number = Annotated[float, Field(allow_inf_nan=False), NoFlag]
Whole = Annotated[int, NoFlag]
Count = Annotated[int, Field(ge=0), NoFlag]
Slots = Annotated[int, Field(ge=1, le=MOST_CONCURRENT), NoFlag]
Tokens = Annotated[int, Field(ge=1, le=int(_MOST)), NoFlag]
