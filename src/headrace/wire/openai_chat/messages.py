"""The messages: parts as the dialect writes them, and marks for the provider's cache.

What an answer or a tool's result holds beside text has no place in a turn of theirs, so it follows
in a turn of the user, once all results of the tools are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import RejectedError
from headrace.core.media import Audio, File, Image
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall, ToolResult
from headrace.wire import reading
from headrace.wire.turns import is_text, text_of_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.conversation import Message
    from headrace.core.model import Endpoint
    from headrace.core.parts import Part
    from headrace.wire.draft import Unsupported

WIRE: Final = "openai_chat"
EPHEMERAL: Final = {"type": "ephemeral"}
_LAST: Final = {"last_user_message": 1, "last_2_user_messages": 2, "last_3_user_messages": 3}
_TTLS: Final = {"cache_control": ("5m", "1h"), "prompt_cache_breakpoint": ("30m", "12h")}
_FORMATS: Final = {"audio/mpeg": "mp3", "audio/mp4": "m4a"}
_THINKING: Final = ("reasoning_content", "reasoning")
# Fields of an answer that only the server that gave them understands.
_FIELDS: Final = frozenset({"audio", "images", "reasoning_details"})


def write(
    said: Sequence[Message], row: Endpoint, pattern: str | None, unsupported: Unsupported
) -> list[dict[str, object]]:
    """All messages; ``pattern`` is that of ``prompt_caching``."""
    writer = _Writer(row, unsupported)
    marked = _marked(said, pattern) if row.cache_marks is not None else frozenset()
    for number, message in enumerate(said):
        content = message.content
        if message.role != "tool":
            writer.follow_up()
        begins = len(writer.written)
        if type(content) is str and number not in marked:
            writer.written.append({"role": message.role, "content": content})
        else:
            parts = (*message.parts, CacheBreakpoint()) if number in marked else message.parts
            writer.turn(message.role, parts)
        if message.name is not None:
            writer.name(begins, message)
    writer.follow_up()
    return writer.written


def first(body: dict[str, object]) -> object:
    """The first message of ``body``."""
    found = body["messages"]
    return found[0] if type(found) is list else None


def instruct(body: dict[str, object], instruction: str) -> None:
    """Add an instruction to the first message if that is of the system, else before it."""
    found = body["messages"]
    if type(found) is not list:
        return
    before = reading.block(found[0])
    if before.get("role") == "system" and type(text := before["content"]) is str:
        found[0] = {"role": "system", "content": f"{text}\n\n{instruction}"}
    else:
        found.insert(0, {"role": "system", "content": instruction})


def _marked(said: Sequence[Message], pattern: str | None) -> frozenset[int]:
    """The messages at whose end a pattern sets a mark."""
    if pattern == "system_and_tools":
        of_system = [n for n, message in enumerate(said) if message.role == "system"]
        # Those at the beginning alone: nothing before a later one stays the same.
        leading = [n for place, n in enumerate(of_system) if place == n]
        return frozenset(leading[-1:])
    asked = [n for n, message in enumerate(said) if message.role == "user"]
    last = _LAST.get(pattern or "", 0)
    return frozenset(asked[-last:] if last else ())


# What a row may say that it does not take.
_MEDIA: Final[dict[type[object], str]] = {Image: "images", File: "files", Audio: "audio"}


class _Writer:
    """Writes turn after turn, with what has to wait for a turn of the user."""

    __slots__ = ("_names", "_row", "_unsupported", "_waiting", "written")

    def __init__(self, row: Endpoint, unsupported: Unsupported) -> None:
        self.written: list[dict[str, object]] = []
        self._row = row
        self._unsupported = unsupported
        self._waiting: list[dict[str, object]] = []
        self._names: dict[str, str] = {}

    def turn(self, role: str, parts: tuple[Part, ...]) -> None:
        """Write one message of parts."""
        if role == "assistant":
            self._answer(parts)
        elif role == "tool":
            self._results(parts)
        else:
            self._say(role, parts)

    def name(self, begins: int, message: Message) -> None:
        """Say who spoke in what ``message`` was written as; results of tools have no speaker."""
        if message.role == "tool" or "name" in self._row.unsupported:
            self._unsupported.unnamed([message], self._row.name)
        else:
            for written in self.written[begins:]:
                if written["role"] == message.role:
                    written["name"] = message.name

    def follow_up(self) -> None:
        """Write what waits, as a turn of the user."""
        if self._waiting:
            self.written.append({"role": "user", "content": self._waiting})
            self._waiting = []

    def _say(self, role: str, parts: tuple[Part, ...]) -> None:
        blocks: list[dict[str, object]] = []
        for part in parts:
            if isinstance(part, CacheBreakpoint):
                self._mark(blocks, part)
            elif role == "system" and not isinstance(part, Text):
                kind = type(part).__name__
                msg = f"a system message holds more than text ({kind}); put it into a message of"
                raise RejectedError(f"{msg} the user")
            elif (block := self._block(part)) is not None:
                blocks.append(block)
        self.written.append({"role": role, "content": _content(blocks) or ""})

    def _block(self, part: Part) -> dict[str, object] | None:
        media = _MEDIA.get(type(part))
        if media in self._row.unsupported and not (isinstance(part, File) and is_text(part)):
            raise RejectedError(f"{self._row.name} takes no {media}; ask another model")
        match part:
            case Text():
                return {"type": "text", "text": part.text}
            case Image():
                return _image(part)
            case File():
                return self._file(part)
            case Audio():
                return self._audio(part)
            case Opaque():
                return next(iter(self._unsupported.own(part, WIRE, self._row.name)), None)
        return None

    def _file(self, file: File) -> dict[str, object]:
        row, name = self._row, file.name
        if is_text(file):
            return {"type": "text", "text": text_of_file(file, row.name, self._unsupported)}
        if row.media == "mistral":
            if file.file_id is not None:
                return {"type": "file", "file_id": file.file_id}
            named = {} if name is None else {"document_name": name}
            return {"type": "document_url", "document_url": file.data_uri, **named}
        if file.file_id is not None:
            return {"type": "file", "file": {"file_id": file.file_id}}
        if file.url is not None and row.media != "openrouter":
            raise RejectedError(f"{row.name} takes no file by URL; give its bytes or a file_id")
        known = name or f"file.{(file.media_type or 'application/pdf').rpartition('/')[2]}"
        return {"type": "file", "file": {"filename": known, "file_data": file.data_uri}}

    def _audio(self, audio: Audio) -> dict[str, object]:
        if self._row.media == "mistral" and audio.file_id is None:
            return {"type": "input_audio", "input_audio": audio.url or audio.base64}
        if audio.data is None:
            raise RejectedError(f"{self._row.name} takes audio as bytes alone; give its bytes")
        kind = audio.media_type or ""
        form = _FORMATS.get(kind) or kind.removeprefix("audio/")
        return {"type": "input_audio", "input_audio": {"data": audio.base64, "format": form}}

    def _answer(self, parts: tuple[Part, ...]) -> None:
        message: dict[str, object] = {"role": "assistant", "content": None}
        blocks: list[dict[str, object]] = []
        for part in parts:
            self._tell(part, message, blocks)
        calls = [part for part in parts if isinstance(part, ToolCall)]
        self._names.update((call.id, call.name) for call in calls)
        if calls:
            message["tool_calls"] = [_call(call) for call in calls]
        message["content"] = _content(blocks)
        if len(message) > 2 or blocks:  # noqa: PLR2004  more than a role and no content
            self.written.append(message)

    def _tell(
        self, part: Part, message: dict[str, object], blocks: list[dict[str, object]]
    ) -> None:
        """One part of an answer that is no call."""
        match part:
            case CacheBreakpoint():
                if self._row.cache_marks == "cache_control":
                    self._mark(blocks, part)
            case Thinking():
                self._think(part, message, blocks)
            case Opaque():
                self._keep(part, message, blocks)
            case Text():
                blocks.append({"type": "text", "text": part.text})
            case Image() | File() | Audio():
                self._wait("an answer", part)

    def _think(
        self, part: Thinking, message: dict[str, object], blocks: list[dict[str, object]]
    ) -> None:
        """Thinking goes back where the server wants it back, and nowhere else."""
        for name in self._row.replays:
            if name in _THINKING:
                message[name] = f"{message.get(name, '')}{part.text}"
            elif name == "thinking":
                told = [{"type": "text", "text": part.text}]
                signed = (
                    {"signature": part.signature} if part.wire == WIRE and part.signature else {}
                )
                blocks.append({"type": "thinking", "thinking": told, **signed})

    def _keep(
        self, part: Opaque, message: dict[str, object], blocks: list[dict[str, object]]
    ) -> None:
        if part.wire != WIRE:
            return
        if "type" in (block := part.block):
            blocks.append(block)
            return
        left_out = _FIELDS.difference(self._row.replays)
        message.update((name, value) for name, value in block.items() if name not in left_out)

    def _results(self, parts: tuple[Part, ...]) -> None:
        for part in parts:
            if isinstance(part, ToolResult):
                self._result(part)
            elif isinstance(part, CacheBreakpoint):
                last = self.written[-1]
                if self._row.cache_marks == "cache_control" and type(last["content"]) is str:
                    blocks: list[dict[str, object]] = [{"type": "text", "text": last["content"]}]
                    self._mark(blocks, part)
                    last["content"] = blocks
            elif (block := self._block(part)) is not None:
                self._waiting.append(block)

    def _result(self, result: ToolResult) -> None:
        if result.is_error:
            self._unsupported.adapt(
                "is_error of a tool's result is left out: this API has no place for it"
            )
        for media in result.media:
            self._wait("a tool's result", media)
        told = result.text or ("It is in the message of the user below." if result.media else "")
        message: dict[str, object] = {
            "role": "tool",
            "tool_call_id": result.id,
            "content": told,
        }
        name = result.name or self._names.get(result.id)
        if name is not None and self._row.names_tool_results:
            message["name"] = name
        self.written.append(message)

    def _wait(self, where: str, part: Part) -> None:
        kind = type(part).__name__.lower()
        block = self._block(part)
        if block is not None:
            self._unsupported.adapt(f"the {kind} in {where} follows in a message of the user")
            self._waiting.append(block)

    def _mark(self, blocks: list[dict[str, object]], mark: CacheBreakpoint) -> None:
        name = self._row.cache_marks
        if name is None or not blocks:
            return
        ttl = {"ttl": mark.ttl} if mark.ttl in _TTLS[name] else {}
        kind = dict(EPHEMERAL) if name == "cache_control" else {"mode": "explicit"}
        blocks[-1] = {**blocks[-1], name: {**kind, **ttl}}


def _content(blocks: list[dict[str, object]]) -> object:
    """None, one text as it is, or a list of parts."""
    if not blocks:
        return None
    only = blocks[0] if len(blocks) == 1 else {}
    return only["text"] if only.keys() == {"type", "text"} else blocks


def _image(image: Image) -> dict[str, object]:
    if image.file_id is not None:
        msg = "this API takes no image by file_id; give its bytes or a URL"
        raise RejectedError(msg)
    detail = {} if image.detail is None else {"detail": image.detail}
    return {"type": "image_url", "image_url": {"url": image.data_uri, **detail}}


def _call(call: ToolCall) -> dict[str, object]:
    if call.kind == "custom":
        custom = {"name": call.name, "input": call.arguments}
        return {"id": call.id, "type": "custom", "custom": custom}
    # Servers read it as JSON, which nothing is not.
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}
