"""Every setting of a client, once: its default, its bounds, and the sentence when it is wrong."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeAlias, TypedDict, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from headrace.adapters.proxy import Proxy
from headrace.adapters.tls import trusted
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.params import SamplingParams
from headrace.engine.attempt import Sender
from headrace.engine.fleet import Fleet
from headrace.engine.pipeline import Choice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pydantic_core import ErrorDetails

    from headrace.adapters.clock import Clock
    from headrace.core.conversation import Prompt
    from headrace.core.model import Model, Route
    from headrace.core.response import APIResponse
    from headrace.engine.attempt import Bind
    from headrace.registry.resolve import Place

    Models: TypeAlias = str | Model | Sequence[str | Model]
    OnResponse: TypeAlias = Callable[[APIResponse[Any]], Awaitable[None] | None]

PerMinute = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
MOST_CONCURRENT: Final = 100_000
HIDDEN: Final = frozenset({"api_key", "proxy"})
"""Settings that are, or may hold, a secret."""


class AskOptions(TypedDict, total=False):
    """What one call lays over the client's settings.

    ``model`` replaces the client's models, ``sampling_params`` overlay its own, ``deadline`` bounds
    each request's whole life in seconds.
    """

    sampling_params: SamplingParams | None
    model: Models | None
    deadline: float | None


class RunOptions(AskOptions, total=False):
    """Options of a call with many prompts, beside those of ``AskOptions``.

    ``on_response`` is called once for each finished row, in completion order, and may be async; an
    error in it is logged and costs no row. With ``journal``, a path, what is answered is on disk
    before it is handed out and is never sent again. ``show_progress`` draws a bar.
    """

    show_progress: bool
    on_response: OnResponse | None
    journal: str | os.PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Call:
    """The options of one call, read."""

    params: SamplingParams | None
    choice: Choice
    deadline: float | None
    options: RunOptions

    def context(self, index: int, prompt: object, now: int) -> RequestContext:
        """The request of one prompt; a context of the caller's own is laid over the options."""
        if type(prompt) is not RequestContext:
            return RequestContext(
                prompt=_read(prompt),
                index=index,
                params=self.params,
                deadline=self.deadline,
                born_at=now,
            )
        return replace(
            prompt,
            prompt=_read(prompt.prompt),
            index=index,
            params=prompt.params if self.params is None else self.params | prompt.params,
            deadline=self.deadline if prompt.deadline is None else prompt.deadline,
            born_at=now,
        )


def _read(prompt: object) -> Prompt:
    """A prompt in its final form; a bad one stays as it is, and is refused when its turn comes."""
    try:
        return Conversation.of(prompt)
    except BadRowError:
        return cast("Prompt", prompt)


class Config(BaseModel):
    """The validated settings of an ``LLMClient``; see there for what each of them means."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True
    )

    model_weights: tuple[Weight, ...] | None = None
    sampling_params: tuple[SamplingParams, ...] = ()
    max_requests_per_minute: PerMinute | None = None
    max_tokens_per_minute: PerMinute | None = None
    max_concurrent_requests: Annotated[int, Field(ge=1, le=MOST_CONCURRENT)] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 5
    request_timeout: Seconds = 600.0
    deadline: Seconds | None = None
    patience: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 900.0
    coalesce: bool | None = None
    seed: int = 0
    proxy: Annotated[Proxy, PlainSerializer(str)] | None = None
    ca_file: str | os.PathLike[str] | None = None
    trust_env: bool = False

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if self.model_weights is not None and not sum(self.model_weights) > 0:
            msg = "at least one of model_weights must be above zero"
            raise ValueError(msg)
        return self

    @classmethod
    def read(cls, models: int, **settings: object) -> Config:
        """Validate ``settings`` for a client with so many ``models``; raises ``ConfigError``."""
        given = settings | {"proxy": Proxy.of(settings.get("proxy"))}
        params = given["sampling_params"]
        if params is None or isinstance(params, SamplingParams | dict):
            given["sampling_params"] = (params or SamplingParams(),) * models
        try:
            config = cls.model_validate(given)
        except ValidationError as error:
            raise ConfigError(_sentence(error.errors(include_url=False)[0])) from None
        config.check_lengths(models)
        trusted(config.ca_file)
        return config

    def fleet(self, place: Place, epoch: Callable[[Route], int]) -> Fleet:
        """The routes of a client with these limits, around the endpoints at ``place``."""
        return Fleet(
            place,
            epoch,
            requests_per_minute=self.max_requests_per_minute,
            tokens_per_minute=self.max_tokens_per_minute,
            concurrency=self.max_concurrent_requests,
        )

    def sender(self, bind: Bind, clock: Clock, chance: Callable[[], float] | None) -> Sender:
        """What sends, with these bounds; ``chance`` None rolls real dice."""
        return Sender(
            bind=bind,
            clock=clock,
            chance=chance or random.Random().random,  # noqa: S311  jitter needs no cryptography
            max_attempts=self.max_attempts,
            request_timeout=self.request_timeout,
            patience=self.patience,
        )

    def check_lengths(self, models: int) -> None:
        """Weights and parameters come one per model, or not at all."""
        if self.model_weights is not None and len(self.model_weights) != models:
            msg = (
                f"model_weights has {len(self.model_weights)} numbers for {models} models;"
                " give one for each"
            )
            raise ConfigError(msg)
        if len(self.sampling_params) != models:
            msg = (
                f"sampling_params has {len(self.sampling_params)} entries for {models} models;"
                " give one for all, or one for each"
            )
            raise ConfigError(msg)


def read_params(value: object) -> SamplingParams | None:
    """Sampling parameters of a call, also as a dict; raises ``ConfigError``."""
    if value is None or isinstance(value, SamplingParams):
        return value
    try:
        return SamplingParams.from_row(value)
    except BadRowError as error:
        raise ConfigError(f"sampling_{error}") from None


def check_seconds(name: str, value: object) -> float | None:
    """A per-call or per-row number of seconds; raises ``ConfigError`` when it is none."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    msg = f"{name} must be a number of seconds above zero, not {value!r}"
    raise ConfigError(msg)


def _sentence(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"{where}: {message} (it was {error['input']!r:.100})" if where else message
