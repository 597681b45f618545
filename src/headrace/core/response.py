"""What the caller gets: one ``APIResponse`` for each prompt, good or bad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import GenericAlias
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from headrace.core.conversation import Message, brief
from headrace.core.errors import HeadraceError
from headrace.core.parts import Part, Text, ToolCall
from headrace.core.quick import quick
from headrace.core.reply import Reply

T = TypeVar("T")
Source: TypeAlias = Literal["provider", "cache", "journal", "coalesced", "none"]


class _Nothing(Mapping[str, object]):
    """An empty mapping that all responses share; it survives pickling and copying as itself."""

    __slots__ = ()

    def __getitem__(self, name: str) -> object:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Final[Mapping[str, object]] = _Nothing()


@dataclass(frozen=True, slots=True)
class Usage:
    """Billed tokens in disjoint buckets; ``reasoning_tokens`` is a part of ``output_tokens``."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """All tokens: uncached input, cache reads and writes, and output."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.output_tokens
        )

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    def to_dict(self) -> dict[str, int]:
        """The buckets and their total, as they stand in output files."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "total_tokens": self.total_tokens,
        }


@quick
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class APIResponse(Generic[T]):
    """The outcome of one prompt. Either ``error`` is set, or this is an answer.

    ``finish_reason`` is ``"stop"``, ``"length"``, ``"tool"``, ``"filtered"``, ``"other"`` or None;
    what the provider said word for word is ``metadata["finish_reason"]`` where it differs.
    ``cost`` is in USD over all attempts (None: unknown, which is not zero), ``latency`` in seconds
    from the sending of the answering attempt to its reply. ``attempts`` counts the requests sent,
    ``uncertain_attempts`` those of them that may have been charged though no reply could be read.
    ``source`` says where this came from; ``"none"``: the row failed and nothing was sent for it.
    ``adaptations`` are sentences on what the API or the model had no place for, ``logprobs`` what
    the provider says of its tokens, in its own form. ``content`` holds the parts of an answer that
    is more than text, in their order, for ``message``.
    """

    id: str = ""
    index: int = 0
    sample: int = 0
    tags: Mapping[str, object] | None = None
    completion: str | None = None
    thinking: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    content: tuple[Part, ...] = ()
    parsed: T | None = None
    usage: Usage | None = None
    cost_nanos: int | None = None
    finish_reason: str | None = None
    model: str | None = None
    provider: str | None = None
    route: str | None = None
    request_id: str | None = None
    metadata: Mapping[str, object] = field(default_factory=lambda: NOTHING)
    logprobs: object = None
    adaptations: tuple[str, ...] = ()
    attempts: int = 0
    uncertain_attempts: int = 0
    latency: float | None = None
    source: Source = "provider"
    error: HeadraceError | None = None
    reply: Reply | None = field(default=None, repr=False, compare=False)

    def __class_getitem__(cls, kind: object) -> GenericAlias:
        """``APIResponse[str]``; typing's own alias cannot call a frozen, slotted class on 3.11."""
        return GenericAlias(cls, kind)

    def __repr__(self) -> str:
        if self.error is not None:
            said = f"{self.error.code}: {brief(self.error.message)}"
        else:
            said = f"{brief(self.completion)!r} ({self.route}, {self.source})"
        return f"<APIResponse {brief(self.id)!r}: {said}>"

    @property
    def is_error(self) -> bool:
        """Did this row fail?"""
        return self.error is not None

    @property
    def cost(self) -> float | None:
        """USD over all attempts; None when a price is unknown."""
        return None if self.cost_nanos is None else self.cost_nanos / 1e9

    @property
    def message(self) -> Message | None:
        """The answer as a message, to go on with the conversation."""
        if self.content:
            return Message("assistant", self.content)
        if self.tool_calls:
            said = (Text(self.completion),) if self.completion else ()
            return Message("assistant", (*said, *self.tool_calls))
        return None if self.completion is None else Message("assistant", self.completion)

    @property
    def is_truncated(self) -> bool:
        """Was the answer cut by an output bound or the context's end?"""
        return self.finish_reason == "length"

    def raise_for_error(self) -> APIResponse[T]:
        """Return the response itself, or raise its error."""
        if self.error is not None:
            raise self.error
        return self


class Responses(list[APIResponse[T]]):
    """The responses of a run, one for each prompt, in the order of the prompts."""

    def __repr__(self) -> str:
        failed = sum(r.error is not None for r in self)
        return f"<Responses: {len(self):,}, of which {failed:,} failed>"

    @property
    def succeeded(self) -> Responses[T]:
        """Those that hold an answer."""
        return Responses(r for r in self if r.error is None)

    @property
    def failed(self) -> Responses[T]:
        """Those that hold an error."""
        return Responses(r for r in self if r.error is not None)
