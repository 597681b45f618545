"""A stream of partial replies, folded into the one that the same request had got without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import TruncatedError
from headrace.core.reply import Reply
from headrace.wire import failure, reading
from headrace.wire.draft import folded, joined
from headrace.wire.gemini import partial
from headrace.wire.gemini.decode import read_call, read_usage
from headrace.wire.gemini.partial import PartialCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route

_OK = 200
# Told piece by piece; of all else the last word counts.
_IN_PIECES = ("citationMetadata", "logprobsResult")


class GeminiFold:
    """Implements ``wire.draft.Fold``; there is no mark at the end, ``finishReason`` decides."""

    __slots__ = ("_body", "_call", "_calls", "_candidate", "_parts", "_pieces", "_usage")

    def __init__(self, context: RequestContext, route: Route) -> None:
        """Begin a stream."""
        del context, route
        self._body: dict[str, object] = {}
        self._candidate: dict[str, object] = {}
        self._parts: list[dict[str, object]] = []
        self._pieces: list[str] = []
        self._call: PartialCall | None = None
        self._calls = 0
        self._usage: object = None

    def feed(self, event: str, data: bytes) -> list[Chunk]:
        """Take one frame; raises the ``ProviderError`` that an error in it stands for."""
        del event
        found = reading.load(data)
        if found is None:  # an error may stand in a list
            found = reading.load(data.strip().removeprefix(b"[").removesuffix(b"]"))
        if found is None:
            if not data.strip() or data.strip() == b"[DONE]":
                return []
            raise failure.unreadable(Reply(_OK, data), "a frame of the stream is not JSON")
        if found.get("error"):
            usage = read_usage(self._body.get("usageMetadata"))
            raise failure.from_error_object(found, Reply(_OK, data), usage)
        return self._take(found)

    def _take(self, found: Mapping[str, object]) -> list[Chunk]:
        self._body.update({k: v for k, v in found.items() if k != "candidates" and v is not None})
        chunks: list[Chunk] = []
        candidates = found.get("candidates")
        for item in candidates if type(candidates) is list else ():
            candidate = reading.block(item)
            if candidate.get("index") in (None, 0):
                self._merge(candidate)
                parts = reading.block(candidate.get("content")).get("parts")
                for part in parts if type(parts) is list else ():
                    chunks += self._add(reading.block(part))
                if candidate.get("finishReason"):  # it may have been cut in the middle of a call
                    chunks += self._end_call()
        billed = self._body.get("usageMetadata")
        if billed != self._usage:
            self._usage = billed
            if (usage := read_usage(billed)) is not None:
                chunks.append(UsageChunk(usage))
        return chunks

    def _merge(self, candidate: Mapping[str, object]) -> None:
        for name, value in candidate.items():
            if name in _IN_PIECES:
                self._candidate[name] = joined(self._candidate.get(name), value)
            elif name != "content" and value is not None:
                self._candidate[name] = value

    def _add(self, part: dict[str, object]) -> list[Chunk]:
        if "functionCall" not in part:
            return self._add_whole(part)
        called = reading.block(part["functionCall"])
        if not partial.begins(called) and (self._call is None or called.get("name")):
            return [*self._end_call(), *self._add_whole(part)]
        try:
            return self._add_piece(part, called)
        except ValueError as error:
            raise failure.unreadable(Reply(_OK, b""), str(error), read_usage(self._usage)) from None

    def _add_piece(self, part: dict[str, object], called: dict[str, object]) -> list[Chunk]:
        """A piece of a call; one with a name begins the next."""
        chunks = self._end_call() if called.get("name") else []
        if self._call is None:
            self._call = PartialCall(part)
        else:
            self._call.grow(part)
        return [*chunks, *(self._end_call() if self._call.is_whole else ())]

    def _end_call(self) -> list[Chunk]:
        """The call that came in pieces is whole."""
        call, self._call = self._call, None
        return [] if call is None else self._add_whole(call.part())

    def _add_whole(self, part: dict[str, object]) -> list[Chunk]:
        if type(text := part.get("text")) is str:
            self._add_text(text, part)
            if not text:
                return []
            return [ThinkingChunk(text) if part.get("thought") is True else TextChunk(text)]
        if part:
            self._close()
            self._parts.append(part)
        if "functionCall" not in part:
            return []
        number, self._calls = self._calls, self._calls + 1
        call = read_call(part, number, self._body.get("responseId"))
        if call is None:  # decode says so, once all of it is there
            return []
        return [ToolCallChunk(number, call.arguments, call.id, call.name)]

    def _add_text(self, text: str, part: dict[str, object]) -> None:
        last = self._parts[-1] if self._parts else {}
        goes_on = (
            self._pieces
            and "thoughtSignature" not in last
            and last.get("thought") == part.get("thought")
        )
        if not goes_on:
            self._close()
            self._parts.append({**part})
        elif "thoughtSignature" in part:
            last["thoughtSignature"] = part["thoughtSignature"]
        self._pieces.append(text)

    def _close(self) -> None:
        """The text of the last part is whole."""
        if self._pieces:
            self._parts[-1]["text"] = "".join(self._pieces)
            self._pieces = []

    def reply(self) -> Reply:
        """The whole reply; raises ``TruncatedError`` where the stream ended before its finish."""
        blocked = reading.block(self._body.get("promptFeedback")).get("blockReason")
        if not self._candidate.get("finishReason") and not blocked:
            msg = "the stream ended before its finish; try again"
            raise TruncatedError(msg, status=_OK, usage=read_usage(self._usage))
        self._close()
        body = dict(self._body)
        if self._candidate.get("finishReason"):  # else it was blocked on its way, and is no answer
            content = {"role": "model", "parts": self._parts}
            body["candidates"] = [{"content": content, **self._candidate}]
        return folded(body)
