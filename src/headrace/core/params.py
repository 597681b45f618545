"""What is asked of a model beside the prompt: sampling parameters, as one frozen value."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from headrace.core.checked import Checked
from headrace.core.errors import BadRowError

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_PROTECTED = frozenset({"model", "messages", "stream", "system"})


class SamplingParams(Checked):
    """Parameters of one generation. What is unset (or ``None``) is not sent at all.

    ``max_tokens`` bounds the output in tokens (reasoning included). ``extra_body`` is merged into
    the request body last, for what only one server knows; it cannot replace the model or the
    messages. ``a | b`` overlays ``b`` on ``a``. Raises ``ConfigError`` for what is no parameter.
    """

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    frequency_penalty: Annotated[float, Field(allow_inf_nan=False)] | None = None
    presence_penalty: Annotated[float, Field(allow_inf_nan=False)] | None = None
    reasoning_effort: Effort | None = None
    extra_body: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _stop_may_be_one_string(cls, data: Any) -> Any:  # noqa: ANN401 - the contract of pydantic
        if isinstance(data, dict) and isinstance(data.get("stop"), str):
            return {**data, "stop": (data["stop"],)}
        return data

    @model_validator(mode="after")
    def _extra_body_stays_in_its_place(self) -> Self:
        if self.extra_body and (taken := _PROTECTED & self.extra_body.keys()):
            msg = f"extra_body: it cannot replace {', '.join(sorted(taken))}"
            raise ValueError(msg)
        return self

    def given(self) -> dict[str, object]:
        """Only what was set, by name, in a fixed order."""
        return {name: value for name, value in self if value is not None}

    def or_none(self) -> SamplingParams | None:
        """None where nothing is set, so that nothing has to be looked at."""
        return self if self.given() else None

    def __or__(self, other: SamplingParams | None) -> SamplingParams:
        """``other`` laid over ``self``: what it sets wins, what it leaves unset stays."""
        if other is None or not (over := other.given()):
            return self
        return SamplingParams.model_validate(self.given() | over)

    @classmethod
    def from_row(cls, data: object) -> SamplingParams:
        """Read the ``params`` of a data row; a wrong one is that row's error."""
        if not isinstance(data, dict):
            msg = f"params must be an object with parameter names, not {type(data).__name__}"
            raise BadRowError(msg)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise BadRowError(f"params: {cls.complaint(error)}") from None
