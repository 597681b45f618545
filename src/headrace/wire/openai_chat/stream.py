"""Streams: chunks of the dialect folded into the reply that came without streaming.

Servers differ here more than anywhere: usage stands in a chunk without choices, in the last one, in
each, or under ``x_groq``; text comes as a string or as a list of parts; calls come in fragments, or
whole; some repeat the whole message beside the delta. A stream is over with a finish reason. What
comes after it (usage, citations) is taken too, and nothing that comes before it is an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import TruncatedError
from headrace.core.reply import Reply
from headrace.wire import failure, minimax, reading, shaped
from headrace.wire.draft import Pieces, folded, joined
from headrace.wire.openai_chat.decode import read_usage, thought

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route

_NOT_OF_THE_REPLY: Final = frozenset({"choices", "error", "obfuscation", "object", "usage"})
_NOT_OF_THE_CHOICE: Final = frozenset({"delta", "index", "message"})
_OF_THE_DELTA: Final = frozenset(
    {"audio", "content", "function_call", "reasoning", "reasoning_content", "reasoning_details"}
    | {"tool_calls"}
)
_THINKING: Final = ("reasoning_content", "reasoning")
# Texts in a detail of reasoning that come in pieces.
_PIECES: Final = ("text", "summary", "data")


def fold(context: RequestContext, route: Route) -> ChatFold:
    """A fold for the frames of one stream."""
    return ChatFold(shaped.tool_name(context, route))


class ChatFold:
    """See ``wire.draft.Fold``."""

    __slots__ = (
        "_answer",
        "_blank",
        "_calls",
        "_choice",
        "_data",
        "_done",
        "_message",
        "_parts",
        "_usage",
    )

    def __init__(self, answer: str | None = None) -> None:
        """``answer`` is the tool whose arguments are the answer, if one is."""
        self._answer = answer
        self._data: dict[str, object] = {"object": "chat.completion"}
        self._choice: dict[str, object] = {"index": 0}
        self._message: dict[str, object] = {"role": "assistant"}
        self._parts: list[dict[str, object]] = []
        self._calls: list[_Call] = []
        self._usage: object = None
        self._blank = self._done = False

    def feed(self, event: str, data: bytes) -> list[Chunk]:
        """Take one frame; raises the ``ProviderError`` that an error in it stands for."""
        data = data.strip()
        if data == b"[DONE]":
            self._done = True
        if not data or self._done:
            return []
        found = reading.load(data)
        if found is None:
            if event in {"", "message", "error"}:
                raise failure.unreadable(Reply(200, data), "a frame in it is no JSON object")
            return []
        self._refuse(event, found, data)
        return [*self._take(found), *self._bill(found)]

    def reply(self) -> Reply:
        """The whole reply; raises ``TruncatedError`` where the stream ended before its finish."""
        # xAI ends calls with an empty reason; then the end of the stream has to be told.
        if not self._choice.get("finish_reason") and not (self._blank and self._done):
            msg = "the stream ended before its finish reason came; try again"
            raise TruncatedError(msg, status=200, usage=read_usage(self._usage))
        message = self._message
        for name in ("content", *_THINKING):
            if type(pieces := message.get(name)) is list:
                message[name] = "".join(pieces)
        message.setdefault("content", None)
        if self._parts:
            message["content"] = self._parts
        if self._calls:
            message["tool_calls"] = [call.whole() for call in self._calls]
        body = {**self._data, "choices": [{**self._choice, "message": message}]}
        if self._usage is not None:
            body["usage"] = self._usage
        return folded(body)

    def _refuse(self, event: str, found: dict[str, object], data: bytes) -> None:
        """Raise what an error in a frame stands for, wherever the server puts it."""
        inner = reading.block(found.get("x_groq")).get("error")
        if "base_resp" in found and (own := minimax.error(found)) is not None:
            found = own
        elif inner:
            found = {"error": {"message": inner} if type(inner) is str else inner}
        elif not found.get("error"):
            flat = found.get("object") == "error" or event == "error"
            found = _first(found) if not flat else found
            if not flat and not found.get("error"):
                return
        raise failure.from_error_object(found, Reply(200, data), read_usage(self._usage))

    def _take(self, found: dict[str, object]) -> list[Chunk]:
        for name, value in found.items():
            if name not in _NOT_OF_THE_REPLY and value is not None:
                self._data[name] = value
        choice = _first(found)
        chunks: list[Chunk] = []
        self._blank = self._blank or choice.get("finish_reason") == ""
        for name, value in choice.items():
            if name == "logprobs" and value is not None:
                self._choice[name] = joined(self._choice.get(name), value)
            elif name not in _NOT_OF_THE_CHOICE and value not in (None, ""):
                self._choice[name] = value
        # Perplexity repeats all that was said as a message beside the delta.
        delta = choice.get("delta")
        delta = choice.get("message") if delta is None else delta
        if type(delta) is dict:
            self._think(delta, chunks)
            self._say(delta.get("content"), chunks)
            self._call(delta, chunks)
            self._hear(delta.get("audio"), chunks)
            self._keep(delta)
        return chunks

    def _bill(self, found: dict[str, object]) -> list[Chunk]:
        billed = found.get("usage") or reading.block(found.get("x_groq")).get("usage")
        if not billed:
            return []
        before, usage = read_usage(self._usage), read_usage(billed)
        self._usage = billed
        return [] if usage is None or usage == before else [UsageChunk(usage)]

    def _think(self, delta: Mapping[str, object], chunks: list[Chunk]) -> None:
        for name in _THINKING:
            if type(text := delta.get(name)) is str and text:
                pieces = self._message.setdefault(name, [])
                if type(pieces) is list:
                    pieces.append(text)
                chunks.append(ThinkingChunk(text))
                break
        details = delta.get("reasoning_details")
        if type(details) is list:
            kept = self._message.setdefault("reasoning_details", [])
            if type(kept) is list:
                for detail in details:
                    _add_detail(kept, detail)

    def _say(self, content: object, chunks: list[Chunk]) -> None:
        if type(content) is list:
            for part in content:
                self._part({"type": "text", "text": part} if type(part) is str else part, chunks)
        elif type(content) is str:
            if self._parts:
                self._part({"type": "text", "text": content}, chunks)
                return
            pieces = self._message.setdefault("content", [])
            if type(pieces) is list:
                pieces.append(content)
            self._give(content, chunks)

    def _part(self, part: object, chunks: list[Chunk]) -> None:
        """One part of Mistral's; a further piece of the same kind is joined to the one before."""
        found = reading.block(part)
        if type(said := self._message.pop("content", None)) is list and said:
            self._parts.append({"type": "text", "text": "".join(said)})
        last = self._parts[-1] if self._parts else {}
        if type(text := found.get("text")) is str:
            self._give(text, chunks)
            if last.get("type") == "text":
                last["text"] = Pieces.grown(last["text"], text)
                return
            self._parts.append({"type": "text", "text": text})
        elif "thinking" in found:
            text = thought(found["thinking"])
            chunks.extend([ThinkingChunk(text)] if text else [])
            signed = {k: v for k, v in found.items() if k == "signature" and v}
            if last.get("type") == "thinking":
                last |= {"thinking": Pieces.grown(last["thinking"], text), **signed}
                return
            self._parts.append({"type": "thinking", "thinking": text, **signed})
        elif found:
            self._parts.append(found)

    def _call(self, delta: Mapping[str, object], chunks: list[Chunk]) -> None:
        found = delta.get("tool_calls")
        if not found and (legacy := delta.get("function_call")):
            found = [{"index": 0, "function": legacy}]
        for item in found if type(found) is list else ():
            piece = reading.block(item)
            number = self._number(piece)
            if number == len(self._calls):
                self._calls.append(_Call(piece.get("index")))
            call = self._calls[number]
            for chunk in call.add(number, piece):
                if self._answer is None or call.name != self._answer:
                    chunks.append(chunk)
                elif chunk.arguments and self._is_first(call):
                    chunks.append(TextChunk(chunk.arguments))

    def _is_first(self, call: _Call) -> bool:
        """Some models give the answer several times; the first is it."""
        return next(other for other in self._calls if other.name == self._answer) is call

    def _number(self, piece: Mapping[str, object]) -> int:
        """Which call a piece belongs to: by index; a new id begins a new call all the same."""
        index, identity = piece.get("index"), reading.text(piece.get("id"))
        for number in range(len(self._calls) - 1, -1, -1):
            call = self._calls[number]
            if index is None and identity is None:
                return number
            if identity is not None and call.id is not None:
                if identity == call.id and (index is None or index == call.index):
                    return number
            elif index is None or index == call.index:
                return number
        return len(self._calls)

    def _hear(self, sound: object, chunks: list[Chunk]) -> None:
        if type(sound) is not dict:
            return
        heard = reading.block(self._message.setdefault("audio", {}))
        for name, value in sound.items():
            if value is None:
                continue
            joins = name in {"data", "transcript"} and type(value) is str
            heard[name] = Pieces.grown(heard.get(name), value) if joins else value
        if type(said := sound.get("transcript")) is str:
            self._give(said, chunks)

    def _give(self, text: str, chunks: list[Chunk]) -> None:
        """Beside a tool that is to give the answer, what is said may be none; see ``shaped``."""
        if text and self._answer is None:
            chunks.append(TextChunk(text))

    def _keep(self, delta: Mapping[str, object]) -> None:
        """Refusals come in pieces, annotations and images one after the other."""
        for name, value in delta.items():
            if name in _OF_THE_DELTA or value is None:
                continue
            before = self._message.get(name)
            if type(before) is list and type(value) is list:
                before.extend(value)
            elif name == "refusal" and type(value) is str:
                self._message[name] = Pieces.grown(before, value)
            else:
                self._message[name] = value


class _Call:
    """One call of a tool while its pieces come in."""

    __slots__ = ("_arguments", "_kind", "id", "index", "name")

    def __init__(self, index: object) -> None:
        self.index = index
        self.id: str | None = None
        self.name: str | None = None
        self._kind = "function"
        self._arguments: list[str] = []

    def add(self, number: int, piece: Mapping[str, object]) -> list[ToolCallChunk]:
        """Take one piece, and give it on."""
        if type(piece.get("custom")) is dict:
            self._kind = "custom"
        inner = reading.block(piece.get(self._kind))
        identity, name = reading.text(piece.get("id")), reading.text(inner.get("name"))
        new_id = identity if self.id is None else None
        new_name = name if self.name is None else None
        self.id, self.name = self.id or identity, self.name or name
        given = inner.get("input" if self._kind == "custom" else "arguments")
        if given is None:
            given = ""
        elif type(given) is not str:
            given = folded(given).body.decode()
        self._arguments.append(given)
        if not given and new_id is None and new_name is None:
            return []
        return [ToolCallChunk(number, given, new_id, new_name)]

    def whole(self) -> dict[str, object]:
        """The call as it stands in a message."""
        of_arguments = "input" if self._kind == "custom" else "arguments"
        inner = {"name": self.name, of_arguments: "".join(self._arguments)}
        return {"id": self.id, "type": self._kind, self._kind: inner}


def _first(found: Mapping[str, object]) -> dict[str, object]:
    """The choice with index 0 of a chunk; an empty one where it has none."""
    choices = found.get("choices")
    several = [reading.block(item) for item in choices] if type(choices) is list else []
    return next((choice for choice in several if choice.get("index", 0) in (0, None)), {})


def _add_detail(kept: list[object], detail: object) -> None:
    """Join a piece to the detail of reasoning before it, where both are of one type and index."""
    last = reading.block(kept[-1]) if kept else {}
    more = reading.block(detail)
    same = all(last.get(name) == more.get(name) for name in ("type", "index"))
    if not last or not more or not same or "data" in more:
        kept.append(detail)
        return
    for name, value in more.items():
        before = last.get(name)
        if name in _PIECES and type(value) is str:
            last[name] = Pieces.grown(before, value)
        else:
            last[name] = before if value is None else value
