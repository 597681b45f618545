"""What a streamed answer comes in: typed chunks, and the whole response at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace.core.errors import HeadraceError
from headrace.core.response import APIResponse, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingChunk:
    """A piece of what the model thinks aloud."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallChunk:
    """A piece of the call with this ``index``; ``arguments`` are to be joined to JSON text.

    ``id`` and ``name`` are set on the first piece of a call.
    """

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class UsageChunk:
    """What has been billed so far."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class RestartChunk:
    """The stream broke off with ``error`` and begins again: forget the chunks before this one."""

    error: HeadraceError


@dataclass(frozen=True, slots=True)
class EndChunk:
    """The last chunk: the whole response, as without streaming."""

    response: APIResponse[Any]


Chunk: TypeAlias = TextChunk | ThinkingChunk | ToolCallChunk | UsageChunk | RestartChunk | EndChunk


def pieces(response: APIResponse[Any]) -> Iterator[Chunk]:
    """What an answer that came whole says, in chunks: all but its usage and its end."""
    if response.thinking:
        yield ThinkingChunk(response.thinking)
    if response.completion:
        yield TextChunk(response.completion)
    for index, call in enumerate(response.tool_calls):
        yield ToolCallChunk(index, call.arguments, call.id, call.name)
