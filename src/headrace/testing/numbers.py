"""What the fakes are told in numbers, checked once for all of them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from headrace.core.bounds import Count, NoFlag, Pause, Rate, Share, Slots
from headrace.core.checked import Checked
from headrace.core.errors import ConfigError

_Bias = Annotated[float, Field(gt=-1, le=1_000, allow_inf_nan=False), NoFlag]
_Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False), NoFlag]


class Numbers(Checked):
    """All that any of them takes; times in seconds. ``FakeServer`` and ``Terms`` say what it is."""

    # What is checked here is used as it was given: a text stays a text.
    model_config = ConfigDict(strict=True)

    requests_per_minute: Rate | None = None
    requests_per_day: Rate | None = None
    tokens_per_minute: Rate | None = None
    input_tokens_per_minute: Rate | None = None
    output_tokens_per_minute: Rate | None = None
    max_concurrent: Slots | None = None
    max_concurrent_requests: Slots | None = None
    parallel: Slots | None = None
    latency: Pause = 0.0
    burst_seconds: Pause = 60.0
    first_token: Pause = 0.0
    per_token: Pause = 0.0
    output: _Amount = 0.0
    spread: _Amount = 0.0
    off: Share = 0.0
    bias: _Bias = 0.0
    failures: Share = 0.0
    failure_wait: Pause = 0.0
    slow: Share = 0.0
    slow_times: _Amount = 1.0
    way: Pause = 0.0
    phase: Pause = 0.0
    begins: Pause = 0.0
    seconds: Pause | None = None
    keep: Count | None = None
    port: Annotated[int, Field(ge=0, le=65_535), NoFlag] = 0


def check(whose: str, kind: type[Numbers] = Numbers, **given: Any) -> None:
    """Raise ``ConfigError`` where one of these is none of that ``kind``."""
    try:
        kind.model_validate(given)
    except ValidationError as error:
        raise ConfigError(f"{whose}: {kind.complaint(error)}") from None
