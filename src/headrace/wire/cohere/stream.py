"""Cohere's streams: events that are named by the ``type`` in their data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import TruncatedError
from headrace.core.reply import Reply
from headrace.wire import failure, reading
from headrace.wire.cohere.decode import BROKEN_OFF, usage_of
from headrace.wire.draft import folded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route

    Frame = Mapping[str, object]


def fold(context: RequestContext, route: Route) -> CohereFold:
    """What takes the frames of one stream."""
    del context, route
    return CohereFold()


class CohereFold:
    """Blocks and calls come in pieces, each under its index."""

    __slots__ = ("_blocks", "_calls", "_citations", "_end", "_id", "_logprobs", "_plan")

    def __init__(self) -> None:
        self._id: object = None
        self._plan: list[str] = []
        self._blocks: dict[object, tuple[str, list[str]]] = {}
        self._calls: dict[object, tuple[object, object, list[str]]] = {}
        self._citations: list[object] = []
        self._logprobs: list[object] = []
        self._end: dict[str, object] | None = None

    def feed(self, event: str, data: bytes) -> list[Chunk]:
        """Take one frame; raises the ``ProviderError`` that an error in it stands for."""
        if data.strip() in {b"", b"[DONE]"}:
            return []
        frame, reply = reading.load(data), Reply(failure.OK, data)
        if frame is None:
            raise failure.unreadable(reply, "a frame of its stream is not a JSON object")
        kind = frame.get("type") or event
        if frame.get("error") or (not kind and "message" in frame):
            raise failure.from_error_object(frame, reply)
        take = _TAKERS.get(kind) if type(kind) is str else None
        if kind == "message-end":
            _check_end(frame, reply)
        return [] if take is None else take(self, frame)

    def reply(self) -> Reply:
        """The whole reply; raises ``TruncatedError`` where the stream ended before its finish."""
        if self._end is None:
            msg = "the stream ended before its message-end, so the answer is not whole; try again"
            raise TruncatedError(msg, status=failure.OK)
        body = {"id": self._id, "message": self._message(), **self._end}
        if self._logprobs:
            body["logprobs"] = self._logprobs
        return folded(body)

    def _message(self) -> dict[str, object]:
        blocks = [{"type": kind, kind: "".join(said)} for kind, said in self._blocks.values()]
        message: dict[str, object] = {"role": "assistant", "content": blocks or None}
        if self._plan:
            message["tool_plan"] = "".join(self._plan)
        if self._calls:
            message["tool_calls"] = [
                {"id": i, "type": "function", "function": {"name": name, "arguments": "".join(a)}}
                for i, name, a in self._calls.values()
            ]
        if self._citations:
            message["citations"] = self._citations
        return message

    def _start(self, frame: Frame) -> list[Chunk]:
        self._id = frame.get("id")
        return []

    def _content(self, frame: Frame) -> list[Chunk]:
        """``content-start`` and ``content-delta`` are alike, but that one names the type."""
        if frame.get("logprobs"):
            self._logprobs.append(frame["logprobs"])
        said = reading.block(_delta(frame).get("content"))
        given = "thinking" if said.get("type") == "thinking" or "thinking" in said else "text"
        kind, pieces = self._blocks.setdefault(_index(frame), (given, []))
        piece = reading.text(said.get(kind))
        if piece is None:
            return []
        pieces.append(piece)
        return [ThinkingChunk(piece) if kind == "thinking" else TextChunk(piece)]

    def _planned(self, frame: Frame) -> list[Chunk]:
        piece = reading.text(_delta(frame).get("tool_plan"))
        if piece is None:
            return []
        self._plan.append(piece)
        return [ThinkingChunk(piece)]

    def _call(self, frame: Frame) -> list[Chunk]:
        """``tool-call-start`` has id and name, ``tool-call-delta`` more of the arguments."""
        call = reading.block(_delta(frame).get("tool_calls"))
        function = reading.block(call.get("function"))
        index, piece = _index(frame), reading.text(function.get("arguments")) or ""
        begun = self._calls.get(index)
        if begun is not None:
            begun[2].append(piece)
            place = list(self._calls).index(index)
            return [ToolCallChunk(place, piece)] if piece else []
        identity, name = call.get("id"), function.get("name")
        self._calls[index] = (identity, name, [piece])
        known = reading.text(identity), reading.text(name)
        return [ToolCallChunk(len(self._calls) - 1, piece, *known)]

    def _cited(self, frame: Frame) -> list[Chunk]:
        if citation := _delta(frame).get("citations"):
            self._citations.append(citation)
        return []

    def _ended(self, frame: Frame) -> list[Chunk]:
        delta = reading.block(frame.get("delta"))
        self._end = {name: delta.get(name) for name in ("finish_reason", "usage")}
        usage = usage_of(delta.get("usage"))
        return [] if usage is None else [UsageChunk(usage)]


def _delta(frame: Frame) -> dict[str, object]:
    return reading.block(reading.block(frame.get("delta")).get("message"))


def _index(frame: Frame) -> object:
    index = frame.get("index")
    return index if type(index) is int else 0


def _check_end(frame: Frame, reply: Reply) -> None:
    """Raise what a ``message-end`` with an error in it stands for."""
    delta = reading.block(frame.get("delta"))
    error, raw = reading.text(delta.get("error")), reading.text(delta.get("finish_reason"))
    if error is not None or raw in BROKEN_OFF:
        reason = error or f"finish_reason {raw}"
        raise failure.overloaded(reply, reason, usage_of(delta.get("usage")))


_TAKERS: Final[dict[str, Callable[[CohereFold, Frame], list[Chunk]]]] = {
    "message-start": CohereFold._start,  # noqa: SLF001 - its own table
    "content-start": CohereFold._content,  # noqa: SLF001 - its own table
    "content-delta": CohereFold._content,  # noqa: SLF001 - its own table
    "tool-plan-delta": CohereFold._planned,  # noqa: SLF001 - its own table
    "tool-call-start": CohereFold._call,  # noqa: SLF001 - its own table
    "tool-call-delta": CohereFold._call,  # noqa: SLF001 - its own table
    "citation-start": CohereFold._cited,  # noqa: SLF001 - its own table
    "message-end": CohereFold._ended,  # noqa: SLF001 - its own table
}
