"""The events of a streamed message, folded into the message that had come without streaming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import TruncatedError
from headrace.core.reply import Reply
from headrace.wire import failure, reading
from headrace.wire.anthropic import shape
from headrace.wire.anthropic.answer import usage_of
from headrace.wire.draft import folded

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route

# By the type of a delta: the field of the delta, the block's field, and the type of the block.
_DELTAS: Final = {
    "text_delta": ("text", "text", "text"),
    "thinking_delta": ("thinking", "thinking", "thinking"),
    "signature_delta": ("signature", "signature", "thinking"),
    "input_json_delta": ("partial_json", "input", "tool_use"),
    "compaction_delta": ("content", "content", "compaction"),
}
_NO_FRAME: Final = frozenset({b"", b"[DONE]"})


def fold(context: RequestContext, route: Route) -> AnthropicFold:
    """For one stream."""
    return AnthropicFold(shape.tool_name(context, route))


class _Block:
    """A block that grows; pieces are joined once, at the end."""

    __slots__ = ("call", "citations", "pieces", "start")

    def __init__(self, start: dict[str, object]) -> None:
        self.start = start
        self.pieces: dict[str, list[str]] = {}
        self.citations: list[object] = []
        self.call: int | None = None

    def whole(self, *, as_text: bool = False) -> dict[str, object]:
        """The block as it stands in a message."""
        found = dict(self.start)
        for name, pieces in self.pieces.items():
            joined = "".join(pieces)
            if name == "input":
                # A cut input is no JSON, and stays text; so does what was given as text already.
                given = None if as_text else reading.load(joined.encode() or b"{}")
                found[name] = joined if given is None else given
            else:
                found[name] = (reading.text(found.get(name)) or "") + joined
        if self.citations:
            found["citations"] = [*(_list(found.get("citations"))), *self.citations]
        return found


class AnthropicFold:
    """A message that comes in events.

    The call of the tool named ``answer`` is the answer itself: its arguments are streamed as text.
    """

    def __init__(self, answer: str | None = None) -> None:
        self._answer = answer
        self._message: dict[str, object] = {}
        self._usage: dict[str, object] = {}
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._has_ended = False

    def feed(self, event: str, data: bytes) -> list[Chunk]:
        """Take one event; raises the ``ProviderError`` that an error in it stands for."""
        if data.strip() in _NO_FRAME:
            return []
        frame = reading.load(data)
        if frame is None:
            raise failure.unreadable(Reply(200, data), "an event of the stream is no JSON object")
        kind = reading.text(frame.get("type")) or event
        if kind == "error" or frame.get("error"):
            raise failure.from_error_object(frame, Reply(200, data), usage_of(self._usage))
        if kind == "message_start":
            return self._begin(reading.block(frame.get("message")))
        if kind == "message_delta":
            return self._end(frame)
        self._has_ended = self._has_ended or kind == "message_stop"
        return self._block(kind, frame)

    def reply(self) -> Reply:
        """The whole message; raises ``TruncatedError`` where the stream ended before its finish."""
        if not self._has_ended:
            msg = "the stream ended before the answer was finished; ask again"
            raise TruncatedError(msg, status=200, usage=usage_of(self._usage))
        blocks = (block for _, block in sorted(self._blocks.items()))
        content = [block.whole(as_text=self._is_answer(block)) for block in blocks]
        whole = {**self._message, "type": "message", "content": content}
        if self._usage:
            whole["usage"] = self._usage
        return folded(whole)

    def _begin(self, message: dict[str, object]) -> list[Chunk]:
        self._message = message
        chunks = self._bill(message)
        for index, block in enumerate(_list(message.get("content"))):
            chunks += self._open(index, reading.block(block))
        return chunks

    def _block(self, kind: str, frame: dict[str, object]) -> list[Chunk]:
        index = frame.get("index")
        place = index if type(index) is int else 0
        if kind == "content_block_start":
            return self._open(place, reading.block(frame.get("content_block")))
        if kind == "content_block_delta":
            return self._grow(place, reading.block(frame.get("delta")))
        return []

    def _open(self, index: int, start: dict[str, object]) -> list[Chunk]:
        block = self._blocks[index] = _Block(start)
        kind = start.get("type")
        if kind == "text" and (said := reading.text(start.get("text"))):
            return self._text(said)
        if kind == "thinking" and (said := reading.text(start.get("thinking"))):
            return [ThinkingChunk(said)]
        if kind != "tool_use" or self._is_answer(block):
            return []
        block.call = self._calls
        self._calls += 1
        identity, name = reading.text(start.get("id")), reading.text(start.get("name"))
        return [ToolCallChunk(block.call, "", identity, name)]

    def _grow(self, index: int, delta: dict[str, object]) -> list[Chunk]:
        kind = str(delta.get("type"))
        if kind == "citations_delta":
            block = self._blocks.setdefault(index, _Block({"type": "text"}))
            block.citations.append(delta.get("citation"))
            return []
        if kind not in _DELTAS:
            return []
        given, name, of_type = _DELTAS[kind]
        block = self._blocks.setdefault(index, _Block({"type": of_type}))
        if (piece := reading.text(delta.get(given))) is None:
            return []
        block.pieces.setdefault(name, []).append(piece)
        return self._chunks(block, name, piece)

    def _chunks(self, block: _Block, name: str, piece: str) -> list[Chunk]:
        if name == "text":
            return self._text(piece)
        if name == "thinking":
            return [ThinkingChunk(piece)]
        if name != "input":
            return []
        if block.call is not None:
            return [ToolCallChunk(block.call, piece)]
        return [TextChunk(piece)] if self._is_first_answer(block) else []

    def _text(self, said: str) -> list[Chunk]:
        """Beside a tool that is to give the answer, what is said may be none; see ``shaped``."""
        return [TextChunk(said)] if self._answer is None else []

    def _is_first_answer(self, block: _Block) -> bool:
        """Some models give it several times; the first is it."""
        answers = (other for _, other in sorted(self._blocks.items()) if self._is_answer(other))
        return self._is_answer(block) and next(answers) is block

    def _is_answer(self, block: _Block) -> bool:
        return self._answer is not None and block.start.get("name") == self._answer

    def _end(self, frame: dict[str, object]) -> list[Chunk]:
        delta = reading.block(frame.get("delta"))
        self._message.update((name, value) for name, value in delta.items() if value is not None)
        self._has_ended = self._has_ended or reading.text(delta.get("stop_reason")) is not None
        return self._bill(frame)

    def _bill(self, frame: dict[str, object]) -> list[Chunk]:
        """Later figures are totals, and take the place of earlier ones."""
        billed = reading.block(frame.get("usage"))
        self._usage.update((name, value) for name, value in billed.items() if value is not None)
        usage = usage_of(self._usage) if billed else None
        return [] if usage is None else [UsageChunk(usage)]


def _list(value: object) -> list[object]:
    return value if type(value) is list else []
