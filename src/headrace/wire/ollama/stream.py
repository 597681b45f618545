"""Ollama's streams: a line is an answer's next piece, and the last one is ``done``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import TruncatedError
from headrace.core.reply import Reply
from headrace.wire import failure, reading
from headrace.wire.draft import folded
from headrace.wire.ollama.decode import call_names, call_of, error_of, usage_of

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route


def fold(context: RequestContext, route: Route) -> OllamaFold:
    """What takes the frames of one stream."""
    del route
    return OllamaFold(context)


class OllamaFold:
    """Text and thinking come in pieces, calls whole."""

    __slots__ = ("_calls", "_end", "_logprobs", "_names", "_texts", "_thoughts")

    def __init__(self, context: RequestContext) -> None:
        self._names = call_names(context)
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[object] = []
        self._logprobs: list[object] = []
        self._end: dict[str, object] | None = None

    def feed(self, event: str, data: bytes) -> list[Chunk]:
        """Take one frame; raises the ``ProviderError`` that an error in it stands for."""
        del event
        if data.strip() in {b"", b"[DONE]"}:
            return []
        frame, reply = reading.load(data), Reply(failure.OK, data)
        if frame is None:
            raise failure.unreadable(reply, "a line of its stream is not a JSON object")
        if frame.get("error"):
            raise error_of(frame, reply)
        chunks = self._said(reading.block(frame.get("message")))
        if type(found := frame.get("logprobs")) is list:
            self._logprobs += found
        if frame.get("done") is True:
            self._end = frame
            usage = usage_of(frame)
            chunks += [] if usage is None else [UsageChunk(usage)]
        return chunks

    def _said(self, message: dict[str, object]) -> list[Chunk]:
        chunks: list[Chunk] = []
        if (thought := reading.text(message.get("thinking"))) is not None:
            self._thoughts.append(thought)
            chunks.append(ThinkingChunk(thought))
        if (text := reading.text(message.get("content"))) is not None:
            self._texts.append(text)
            chunks.append(TextChunk(text))
        found = message.get("tool_calls")
        for item in found if type(found) is list else ():
            self._calls.append(item)
            # One that cannot be read is found when the whole answer is.
            if (call := call_of(item, self._names)) is not None:
                at = len(self._calls) - 1
                chunks.append(ToolCallChunk(at, call.arguments, call.id, call.name))
        return chunks

    def reply(self) -> Reply:
        """The whole reply; raises ``TruncatedError`` where the stream ended before its finish."""
        if self._end is None:
            msg = "the stream ended before it was done, so the answer is not whole; try again"
            raise TruncatedError(msg, status=failure.OK)
        message: dict[str, object] = {"role": "assistant", "content": "".join(self._texts)}
        if self._thoughts:
            message["thinking"] = "".join(self._thoughts)
        if self._calls:
            message["tool_calls"] = self._calls
        body = {**self._end, "message": message}
        if self._logprobs:
            body["logprobs"] = self._logprobs
        return folded(body)
