"""Every setting of a client, once: its default, its bounds, and the sentence when it is wrong."""

from __future__ import annotations

import os
import random
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeAlias, cast

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from headrace.adapters import http
from headrace.adapters.proxy import Proxy
from headrace.adapters.tls import trusted
from headrace.core.bounds import SPAN, NoFlag, Pause, Rate, Seconds, Slots, Weight, Whole, is_span
from headrace.core.breaking import BreakerSettings
from headrace.core.checked import Checked
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.hedging import HedgeSettings
from headrace.core.model import Model
from headrace.core.params import SamplingParams
from headrace.core.schema import OutputSchema
from headrace.core.spelling import ELSEWHERE, meant
from headrace.core.tools import AnyTool, read_tools
from headrace.engine.attempt import Sender
from headrace.engine.choice import Choice
from headrace.engine.fleet import Fleet
from headrace.engine.hedging import HedgedSender
from headrace.engine.limits import alone

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Sequence

    from headrace.adapters.clock import Clock
    from headrace.adapters.http import Transport
    from headrace.core.conversation import Prompt
    from headrace.core.model import Route
    from headrace.core.operations import Operation
    from headrace.core.response import APIResponse
    from headrace.engine.attempt import Bind
    from headrace.engine.limits import Make
    from headrace.registry.resolve import Place

    Asked: TypeAlias = Prompt | Operation | RequestContext
    Prompts: TypeAlias = Iterable[object] | AsyncIterable[object]
    Models: TypeAlias = str | Model | Sequence[str | Model]
    OnResponse: TypeAlias = Callable[[APIResponse[Any]], Awaitable[None] | None]

# As a text, so that a wrong one is told as one kind and not as each of several.
Path = Annotated[
    str,
    BeforeValidator(lambda given: os.fspath(given) if isinstance(given, os.PathLike) else given),
]
HIDDEN: Final = frozenset({"api_key", "proxy", "shared_limits"})
"""Settings that are, or may hold, a secret."""


@dataclass(frozen=True, slots=True)
class Call:
    """The options of one call, read."""

    params: SamplingParams | None
    choice: Choice
    deadline: float | None
    options: Mapping[str, Any]
    tools: tuple[AnyTool, ...] = ()
    output_schema: OutputSchema | None = None

    def over(
        self, fleet: Fleet, known: type[object], given: Mapping[str, Any], more: Mapping[str, Any]
    ) -> Call:
        """``given`` laid over this; ``known`` and ``more`` are the options that there are.

        Raises ``TypeError`` for an unknown option and ``ConfigError`` for a wrong one.
        """
        refuse_unknown("this call", given, {*known.__annotations__, *more})
        _check_options({**given, **more})
        params, model = read_params(given.get("sampling_params")), given.get("model")
        choice = self.choice if model is None else fleet.choice(model)
        schema = given.get("output_schema")
        return Call(
            params=params if self.params is None else self.params | params,
            choice=choice.spilling(spill=given.get("spill")),
            deadline=check_seconds("deadline", given.get("deadline")) or self.deadline,
            options=given,
            tools=read_tools(given.get("tools")),
            output_schema=None if schema is None else OutputSchema.of(schema),
        )

    def context(self, index: int, prompt: object, now: int) -> RequestContext:
        """The request of one prompt; a context of the caller's own is laid over the options."""
        if type(prompt) is not RequestContext:
            return RequestContext(
                prompt=_read(prompt),
                index=index,
                params=self.params,
                deadline=self.deadline,
                tools=self.tools,
                output_schema=self.output_schema,
                born_at=now,
            )
        return replace(
            prompt,
            prompt=_read(prompt.prompt),
            index=index,
            params=prompt.params if self.params is None else self.params | prompt.params,
            deadline=self.deadline if prompt.deadline is None else prompt.deadline,
            tools=prompt.tools or self.tools,
            output_schema=prompt.output_schema or self.output_schema,
            born_at=now,
        )


def _read(prompt: object) -> Prompt:
    """A prompt in its final form; a bad one stays as it is, and is refused when its turn comes."""
    try:
        return Conversation.of(prompt)
    except BadRowError:
        return cast("Prompt", prompt)


class Config(Checked):
    """The validated settings of an ``LLMClient``; see there for what each of them means."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model_weights: tuple[Weight, ...] | None = None
    sampling_params: tuple[SamplingParams, ...] = ()
    max_requests_per_minute: Rate | None = None
    max_tokens_per_minute: Rate | None = None
    max_concurrent_requests: Slots | None = None
    max_attempts: Annotated[int, Field(ge=1, le=1000), NoFlag] = 5
    request_timeout: Seconds = 600.0
    deadline: Seconds | None = None
    patience: Pause = 900.0
    breaker: BreakerSettings | None = None
    hedge: Annotated[HedgeSettings | None, BeforeValidator(HedgeSettings.read)] = None
    coalesce: bool | None = None
    spill: bool = False
    remember_limits: bool | None = None
    seed: Whole = 0
    allow_http: bool = False
    proxy: Annotated[Proxy, PlainSerializer(str)] | None = None
    ca_file: Path | None = None
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
        params, weights = given["sampling_params"], given.get("model_weights")
        one = params is None or isinstance(params, SamplingParams | dict)
        each = [params] * models if one else _several("sampling_params", params)
        given["sampling_params"] = tuple(read_params(own) or SamplingParams() for own in each)
        if weights is not None:
            given["model_weights"] = tuple(_several("model_weights", weights))
        try:
            config = cls.model_validate(given)
        except ValidationError as error:
            raise ConfigError(cls.complaint(error)) from None
        config.check_lengths(models)
        trusted(config.ca_file)
        return config

    def fleet(
        self,
        place: Place,
        epoch: Callable[[Route], int],
        clock: Clock | None = None,
        make: Make = alone,
        *,
        is_test: bool = True,
    ) -> Fleet:
        """The routes of a client with these limits, around the endpoints at ``place``.

        ``is_test``: in a world of a test's own, of which nothing is remembered unasked.
        """
        remembers = self.remember_limits
        return Fleet(
            place,
            epoch,
            limits={
                "requests_per_minute": self.max_requests_per_minute,
                "tokens_per_minute": self.max_tokens_per_minute,
            },
            concurrency=self.max_concurrent_requests,
            breaker=self.breaker or BreakerSettings(),
            clock=clock,
            remembers=False if remembers is None and is_test else remembers,
            make=make,
        )

    def usual(self, fleet: Fleet, models: Sequence[object], params: object) -> Call:
        """What a call asks for that says nothing itself; ``params`` as they were given."""
        # Those of each model are its own; one for all is what a call's are laid over.
        is_one = params is None or isinstance(params, SamplingParams | dict)
        choice = fleet.choice(
            models,
            weights=self.model_weights,
            spill=self.spill,
            params=() if is_one else self.sampling_params,
            seed=self.seed,
        )
        return Call(
            self.sampling_params[0].or_none() if is_one else None, choice, self.deadline, {}
        )

    def shares(self, cache: object) -> bool:
        """Do identical requests share one answer?"""
        return cache is not None if self.coalesce is None else self.coalesce

    def opener(self, clock: Clock) -> Callable[[], Transport]:
        """How sessions are made; ``clock`` dates what they sign."""
        return http.opener(
            ca_file=self.ca_file, proxy=self.proxy, trust_env=self.trust_env, clock=clock
        )

    def sender(self, bind: Bind, clock: Clock, chance: Callable[[], float] | None) -> Sender:
        """What sends, with these bounds; ``chance`` None rolls real dice."""
        kind = Sender if self.hedge is None else partial(HedgedSender, hedge=self.hedge)
        return kind(
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
                f"model_weights has {_count(len(self.model_weights), 'number')} for"
                f" {_count(models, 'model')};"
                " give one for each"
            )
            raise ConfigError(msg)
        if len(self.sampling_params) != models:
            msg = (
                f"sampling_params has {_count(len(self.sampling_params), 'set')} for"
                f" {_count(models, 'model')};"
                " give one for all, or one for each"
            )
            raise ConfigError(msg)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def read_params(value: object) -> SamplingParams | None:
    """Sampling parameters of a call, also as a dict; raises ``ConfigError``."""
    if value is None or isinstance(value, SamplingParams):
        return value
    if not isinstance(value, dict):
        raise _wrong("sampling_params", "SamplingParams", value)
    try:
        return SamplingParams.from_row(value)
    except BadRowError as error:
        raise ConfigError(f"sampling_{error}") from None


def check_seconds(name: str, value: object) -> float | None:
    """A per-call or per-row number of seconds; raises ``ConfigError`` when it is none."""
    if value is None:
        return None
    if is_span(value):
        return float(value)
    raise _wrong(name, SPAN, value)


def _several(name: str, value: object) -> Iterable[object]:
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return value
    raise _wrong(name, "a list with one for each model", value)


_OF_TESTS: Final = frozenset({"clock", "catalog", "disk", "chance"})


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ``TypeError`` for an option that there is not: where it belongs, or what is near."""
    names = frozenset(known)
    for name in sorted(set(given) - names):
        instead, own = None, ELSEWHERE.get(name, name)
        if name in SamplingParams.model_fields:
            instead = f"give it as sampling_params=SamplingParams({name}=...)"
        elif own in names:
            instead = f"here it is called {own}"
        elif own in Config.model_fields:
            instead = "give it to LLMClient" if own == name else f"give {own} to LLMClient"
        elif (row := own.removeprefix("max_")) in Model.model_fields:
            instead = f"it belongs to one model: Model(id=..., {row}=...)"
        raise TypeError(f"{name} is no option of {what}{meant(name, names - _OF_TESTS, instead)}")


def called_as(init: Callable[..., None]) -> Signature:
    """How a class with this ``__init__`` is called."""
    whole = signature(init)
    return whole.replace(parameters=list(whole.parameters.values())[1:])


def _check_options(options: Mapping[str, object]) -> None:
    """Raise ``ConfigError`` for a wrong option of a call, of those that are used as they are."""
    for name in ("show_progress", "ordered", "return_completions_only", "raise_errors"):
        if options.get(name, False) not in (True, False):
            raise _wrong(name, "True or False", options[name])
    if options.get("spill") not in (None, True, False):
        raise _wrong("spill", "True, False or None", options["spill"])
    if options.get("on_response") is not None:
        check_callable("on_response", "a response", options["on_response"])
    journal = options.get("journal")
    if journal is not None and not (isinstance(journal, str | os.PathLike) and os.fspath(journal)):
        raise _wrong("journal", "the path of a file", journal)


def check_callable(name: str, takes: str, value: object) -> None:
    """Raise ``ConfigError`` for what cannot be called."""
    if not callable(value):
        raise _wrong(name, f"a function that takes {takes}", value)


# What is used of each of the parts that a test may bring.
_NEEDED: Final = {
    "clock": ("now", "wall"),
    "catalog": ("bind", "epoch", "decode"),
    "disk": ("open_append", "create", "lock", "rename", "remove"),
}


def check_world(chance: object, **parts: object) -> bool:
    """Is one of these given? Raises ``ConfigError`` where it cannot be what it is to stand for."""
    if chance is not None:
        check_callable("chance", "nothing", chance)
    for name, part in parts.items():
        needed = _NEEDED[name]
        if part is not None and not all(callable(getattr(part, each, None)) for each in needed):
            raise _wrong(name, f"an object with {', '.join(needed)}", part)
    return any(part is not None for part in (chance, *parts.values()))


def _wrong(name: str, expected: str, value: object) -> ConfigError:
    return ConfigError(f"{name} must be {expected}, not {reprlib.repr(value)}")
