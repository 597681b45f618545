"""What is asked of a model beside the prompt: sampling parameters, as one frozen value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from headrace.core.bounds import (  # noqa: TC001  pydantic reads them
    Count,
    Number,
    Share,
    Tokens,
    Whole,
)
from headrace.core.checked import Checked
from headrace.core.errors import BadRowError

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
PromptCaching = Literal[
    "automatic",
    "system_and_tools",
    "last_user_message",
    "last_2_user_messages",
    "last_3_user_messages",
]
# What is asked, under the names that the APIs have for it.
PROTECTED_FIELDS: Final = frozenset(
    {
        "contents",
        "input",
        "instructions",
        "messages",
        "model",
        "modelId",
        "stream",
        "system",
        "systemInstruction",
    }
)
PROTECTED_HEADERS: Final = frozenset(
    {
        "api-key",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "proxy-authorization",
        "x-amz-security-token",
        "x-api-key",
        "x-goog-api-key",
    }
)
# They change the bill, the speed, or what is refused; never what an answer says.
_NOT_IN_KEYS: Final = frozenset({"on_unsupported", "prompt_caching", "service_tier"})


# RFC 9110: a token, and printable characters with no blank around them.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[!-~]|[!-~][ -~\t]*[!-~])?")


def _is_finite(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def check_extras(body: dict[str, Any] | None, headers: dict[str, str] | None) -> None:
    """Raise ``ValueError`` where extras would replace what is asked, or credentials."""
    if body and (taken := PROTECTED_FIELDS & body.keys()):
        msg = f"extra_body: it cannot replace {', '.join(sorted(taken))}; leave it out, and"
        msg += " give models and messages as such"
        raise ValueError(msg)
    if body and not _is_finite(body):
        msg = "extra_body: it holds NaN or infinity, which JSON has not"
        raise ValueError(msg)
    for name, value in (headers or {}).items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            msg = f"extra_headers: {name!r:.60} is no header that can be sent, or its value is none"
            raise ValueError(msg)
    if headers and (taken := PROTECTED_HEADERS & {name.lower() for name in headers}):
        msg = f"extra_headers: it cannot replace {', '.join(sorted(taken))}; give keys as api_key="
        raise ValueError(msg)


class SamplingParams(Checked):
    """Parameters of one generation. What is unset (or ``None``) is not sent at all.

    ``max_tokens`` bounds the output in tokens (reasoning included), ``thinking_budget`` the
    reasoning alone. ``tool_choice`` is "auto", "none", "required", or the name of a tool.
    ``prompt_caching`` says where marks for the provider's own cache go, where an API wants marks.
    ``safety_settings`` maps categories of harm to thresholds (Gemini's words). ``extra_body`` is
    merged into the request body last, ``extra_headers`` into the headers, for what only one server
    knows; they cannot replace the model, the messages or credentials. ``on_unsupported`` says what
    happens to what an API or a model cannot carry: "adapt" (the default; each adaptation is on the
    response) or "error". ``a | b`` overlays ``b`` on ``a``. Raises ``ConfigError`` for what is no
    parameter.
    """

    max_tokens: Tokens | None = None
    temperature: Annotated[Number, Field(ge=0)] | None = None
    top_p: Share | None = None
    top_k: Count | None = None
    min_p: Share | None = None
    stop: tuple[str, ...] | None = None
    seed: Whole | None = None
    frequency_penalty: Number | None = None
    presence_penalty: Number | None = None
    reasoning_effort: Effort | None = None
    thinking_budget: Count | None = None
    tool_choice: Annotated[str, Field(min_length=1)] | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[Count, Field(le=100)] | None = None
    prompt_caching: PromptCaching | None = None
    safety_settings: dict[str, str] | None = None
    service_tier: Annotated[str, Field(min_length=1)] | None = None
    on_unsupported: Literal["adapt", "error"] | None = None
    # Not shown: a gateway in between may have its token there.
    extra_headers: dict[str, str] | None = Field(default=None, repr=False)
    extra_body: dict[str, Any] | None = None
    # Asked for with each request of a run, and always the same.
    _asked: dict[str, object] | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _stop_may_be_one_string(cls, data: Any) -> Any:  # noqa: ANN401 - the contract of pydantic
        if isinstance(data, dict) and isinstance(data.get("stop"), str):
            return {**data, "stop": (data["stop"],)}
        return data

    @model_validator(mode="after")
    def _extras_stay_in_their_place(self) -> Self:
        check_extras(self.extra_body, self.extra_headers)
        return self

    def given(self) -> dict[str, object]:
        """Only what was set, by name, in a fixed order."""
        return {name: value for name, value in self if value is not None}

    @property
    def asked(self) -> dict[str, object]:
        """Of what was set, what can change an answer: what keys are made of."""
        if self._asked is None:
            given = self.given().items()
            self._asked = {name: value for name, value in given if name not in _NOT_IN_KEYS}
        return self._asked

    def or_none(self) -> SamplingParams | None:
        """None where nothing is set, so that nothing has to be looked at."""
        return self if self.given() else None

    def __or__(self, other: SamplingParams | None) -> SamplingParams:
        """``other`` laid over ``self``: what it sets wins, what it leaves unset stays.

        The extras of both are merged, one level deep.
        """
        if other is None or not (over := other.given()):
            return self
        if self.extra_body is not None and other.extra_body is not None:
            over["extra_body"] = self.extra_body | other.extra_body
        if self.extra_headers is not None and other.extra_headers is not None:
            over["extra_headers"] = self.extra_headers | other.extra_headers
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
