"""The events of ConverseStream, folded into what Converse would have answered."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import TruncatedError
from headrace.core.reply import Reply
from headrace.wire import failure, reading
from headrace.wire.anthropic import shape
from headrace.wire.bedrock_converse.answer import usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.errors import ProviderError
    from headrace.core.model import Route

_OK: Final = 200
_KNOWN: Final = frozenset(
    {"contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)


def fold(context: RequestContext, route: Route) -> ConverseFold:
    """For one stream."""
    return ConverseFold(shape.tool_name(context, route))


def exception(event: str, data: bytes) -> ProviderError | None:
    """The error that an event of any of Bedrock's streams stands for; None for what is none."""
    if event != "error" and not event.endswith("Exception"):
        return None
    said = reading.load(data) or {}
    named = event if event != "error" else said.get("code")
    words = said.get("originalMessage") or said.get("message")
    error = {"error": {"type": named, "message": words}}
    return failure.from_error_object(error, Reply(_OK, data))


class ConverseFold:
    """Implements ``wire.draft.Fold``.

    The call of the tool named ``answer`` is the answer itself: its arguments are streamed as text.
    """

    __slots__ = ("_answer", "_blocks", "_calls", "_end", "_last")

    def __init__(self, answer: str | None = None) -> None:
        """Begin a stream."""
        self._answer = answer
        self._blocks: dict[int, _Block] = {}
        self._calls: dict[int, int] = {}
        self._end: dict[str, object] | None = None
        self._last: dict[str, object] = {}

    def feed(self, event: str, data: bytes) -> list[Chunk]:
        """Take one frame; see ``wire.draft.Fold``. Events that are not known are passed over."""
        if (error := exception(event, data)) is not None:
            raise error
        if event not in _KNOWN:
            return []
        found = reading.load(data)
        if found is None:
            reply = Reply(_OK, data)
            raise failure.unreadable(reply, f"a {event} in the stream is not a JSON object")
        return list(self._take(event, found))

    def _take(self, event: str, found: dict[str, object]) -> Iterator[Chunk]:
        match event:
            case "messageStop":
                self._end = found
            case "metadata":
                self._last = found
                if (usage := usage_of(found.get("usage"))) is not None:
                    yield UsageChunk(usage)
            case "contentBlockStart":
                yield from self._start(found)
            case _ if event != "contentBlockStop":
                yield from self._add(found)

    def _block(self, found: dict[str, object]) -> tuple[int, _Block]:
        index = found.get("contentBlockIndex")
        key = index if isinstance(index, int) else 0
        return key, self._blocks.setdefault(key, _Block())

    def _start(self, found: dict[str, object]) -> Iterator[Chunk]:
        key, block = self._block(found)
        block.start = reading.block(found.get("start"))
        call = reading.block(block.start.get("toolUse"))
        if call and not self._is_answer(block) and call.get("type") != "server_tool_use":
            index = self._calls.setdefault(key, len(self._calls))
            named = reading.text(call.get("name"))
            yield ToolCallChunk(index, "", reading.text(call.get("toolUseId")), named)

    def _add(self, found: dict[str, object]) -> Iterator[Chunk]:
        key, block = self._block(found)
        delta = reading.block(found.get("delta"))
        block.add(delta)
        text = reading.text(delta.get("text"))
        if text and self._answer is None:  # beside a tool that gives it, it may be no answer
            yield TextChunk(text)
        thought = reading.block(delta.get("reasoningContent"))
        if text := reading.text(thought.get("text")):
            yield ThinkingChunk(text)
        piece = reading.text(reading.block(delta.get("toolUse")).get("input"))
        if piece and key in self._calls:
            yield ToolCallChunk(self._calls[key], piece)
        elif piece and self._is_first_answer(block):
            yield TextChunk(piece)

    def _is_first_answer(self, block: _Block) -> bool:
        """Some models give it several times; the first is it."""
        answers = (self._blocks[key] for key in sorted(self._blocks))
        first = (other for other in answers if self._is_answer(other))
        return self._is_answer(block) and next(first) is block

    def _is_answer(self, block: _Block) -> bool:
        named = reading.block(block.start.get("toolUse")).get("name")
        return self._answer is not None and named == self._answer

    def reply(self) -> Reply:
        """The whole reply; see ``wire.draft.Fold``."""
        if self._end is None:
            msg = "the stream of Bedrock ended before its messageStop; ask again"
            raise TruncatedError(msg)
        found = (self._blocks[key] for key in sorted(self._blocks))
        blocks = (block.body(as_text=self._is_answer(block)) for block in found)
        message = {"role": "assistant", "content": [block for block in blocks if block]}
        body = {"output": {"message": message}, **self._end, **self._last}
        try:
            return Reply(_OK, orjson.dumps(body))
        except TypeError:
            reply = Reply(_OK, b"")
            raise failure.unreadable(reply, "it is nested too deeply") from None


class _Block:
    """The pieces of one block."""

    __slots__ = (
        "_citations",
        "_image",
        "_inputs",
        "_redacted",
        "_results",
        "_signature",
        "_texts",
        "_thoughts",
        "start",
    )

    def __init__(self) -> None:
        self.start: dict[str, object] = {}
        self._texts: list[str] = []
        self._inputs: list[str] = []
        self._thoughts: list[str] = []
        self._signature = ""
        self._redacted: list[str] = []
        self._citations: list[object] = []
        self._results: list[object] = []
        self._image: dict[str, object] = {}

    @property
    def arguments(self) -> str:
        """Those of a call, as far as they have come."""
        return "".join(self._inputs)

    def add(self, delta: dict[str, object]) -> None:
        """Take one piece, whatever it is of."""
        for pieces, piece in (
            (self._texts, delta.get("text")),
            (self._inputs, reading.block(delta.get("toolUse")).get("input")),
        ):
            if isinstance(piece, str):
                pieces.append(piece)
        self._think(reading.block(delta.get("reasoningContent")))
        if citation := reading.block(delta.get("citation")):
            self._citations.append(citation)
        results = delta.get("toolResult")
        self._results.extend(results if isinstance(results, list) else ())
        self._image |= reading.block(delta.get("image"))

    def _think(self, thought: dict[str, object]) -> None:
        if isinstance(text := thought.get("text"), str):
            self._thoughts.append(text)
        self._signature += reading.text(thought.get("signature")) or ""
        if redacted := reading.text(thought.get("redactedContent")):
            self._redacted.append(redacted)

    def body(self, *, as_text: bool) -> dict[str, object]:
        """The block as it would have stood in a whole answer; empty where nothing came.

        The arguments of a call stay ``as_text`` where they were given as such.
        """
        if "toolUse" in self.start:
            given = (as_text and self.arguments) or self._input()
            return {"toolUse": {**reading.block(self.start["toolUse"]), "input": given}}
        if "toolResult" in self.start:
            result = reading.block(self.start["toolResult"])
            return {"toolResult": {**result, "content": self._results}}
        if "image" in self.start:
            return {"image": {**reading.block(self.start["image"]), **self._image}}
        if self._redacted:
            return {"reasoningContent": {"redactedContent": _joined(self._redacted)}}
        if self._thoughts or self._signature:
            return {"reasoningContent": {"reasoningText": self._reasoning()}}
        text = "".join(self._texts)
        if self._citations:
            cited = {"content": [{"text": text}], "citations": self._citations}
            return {"citationsContent": cited}
        return {"text": text} if self._texts else {}

    def _reasoning(self) -> dict[str, object]:
        text = "".join(self._thoughts)
        return {"text": text, "signature": self._signature} if self._signature else {"text": text}

    def _input(self) -> object:
        """A JSON value, or the text as it came where it is none."""
        text = self.arguments
        found = reading.load(text.encode()) if text.strip() else {}
        return text if found is None else found


def _joined(pieces: list[str]) -> str:
    """Base64 that came in pieces, each of which was written by itself."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join(map(b64decode, pieces))).decode()
    except ValueError:
        return "".join(pieces)
