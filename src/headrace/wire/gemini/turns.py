"""A conversation as Gemini's contents: turns of the user and of the model, made of parts."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urlsplit

from headrace.core.errors import RejectedError
from headrace.core.media import BY_SUFFIX, Audio, File, Image
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall, ToolResult
from headrace.wire import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.core.conversation import Message
    from headrace.core.media import Media
    from headrace.core.parts import Part
    from headrace.wire.draft import Unsupported

WIRE: Final = "gemini"
# Beginning of the ids of calls to which Gemini gave none; it does not get them back.
MADE_ID: Final = "gemini-"
# Google's own word for a call that another model made, or that was written by hand: Gemini 3
# refuses the first call of a turn without a signature.
_UNSIGNED: Final = "skip_thought_signature_validator"
_FILES: Final = "https://generativelanguage.googleapis.com/v1beta/"
_MIDDLE: Final = (
    "a system message after another turn is sent as the user's: Gemini has one system instruction,"
    " before all turns"
)
_DETAIL: Final = "the detail of an image is left out: Gemini has none"
_FOREIGN: Final = "what another API's model thought or did is left out: Gemini cannot read it"


def write(
    messages: Sequence[Message], unsupported: Unsupported
) -> tuple[list[dict[str, object]], dict[str, object] | None]:
    """The turns, and the system instruction if there is one.

    Raises ``RejectedError`` for what no turn can hold.
    """
    first = next((n for n, m in enumerate(messages) if m.role != "system"), None)
    if first is None:
        msg = "the prompt holds system messages only, which Gemini refuses; add one of the user"
        raise RejectedError(msg)
    writer = _Writer(unsupported)
    system = [part for message in messages[:first] for part in writer.system(message)]
    # Results answer the calls of the turn before, all of them in one turn and nothing beside them.
    runs = groupby(messages[first:], lambda m: "user" if m.role == "system" else m.role)
    contents: list[dict[str, object]] = []
    for role, run in runs:
        parts = [part for message in run for part in writer.parts(message)]
        if role == "assistant":
            _sign_first_call(parts)
        if parts:
            contents.append({"role": "model" if role == "assistant" else "user", "parts": parts})
    return contents, {"parts": system} if system else None


class _Writer:
    """Writes parts one after another; it knows which call an id was last given to."""

    __slots__ = ("_names", "_unsupported")

    def __init__(self, unsupported: Unsupported) -> None:
        self._unsupported = unsupported
        self._names: dict[str, str] = {}

    def system(self, message: Message) -> Iterator[dict[str, object]]:
        for part in message.parts:
            if isinstance(part, Text):
                yield {"text": part.text}
            elif not isinstance(part, CacheBreakpoint):
                what = "an image" if isinstance(part, Image) else "a part that is no text"
                msg = f"a system message holds {what}; put it into a message of the user"
                raise RejectedError(msg)

    def parts(self, message: Message) -> Iterator[dict[str, object]]:
        if message.role == "system":
            self._unsupported.adapt(_MIDDLE)
        if type(message.content) is str:
            yield {"text": message.content}
            return
        last: dict[str, object] = {}
        for part in message.parts:
            written = self._part(part, last)
            if written is not None:
                last = written
                yield written

    def _part(self, part: Part, last: dict[str, object]) -> dict[str, object] | None:
        match part:
            case Text():
                return {"text": part.text}
            case Image() | File() | Audio():
                return self._media(part)
            case ToolCall():
                return self._call(part)
            case ToolResult():
                return self._result(part)
            case Thinking():
                return self._thinking(part)
            case Opaque():
                return self._opaque(part, last)
            case CacheBreakpoint():
                return None

    def _media(self, part: Media) -> dict[str, object]:
        if isinstance(part, Image) and part.detail not in {None, "auto"}:
            self._unsupported.adapt(_DETAIL)
        if part.data is not None:
            return {"inlineData": {"mimeType": part.media_type, "data": part.base64}}
        where = part.url or part.file_id or ""
        named: dict[str, object] = {"fileUri": _FILES + where} if _is_kept(where) else {}
        kind = part.media_type or _kind_of(where)
        return {"fileData": {**({"mimeType": kind} if kind else {}), "fileUri": where, **named}}

    def _call(self, call: ToolCall) -> dict[str, object]:
        self._names[call.id] = call.name
        written: dict[str, object] = {"name": call.name, "args": _arguments(call)}
        if call.id and not call.id.startswith(MADE_ID):
            written = {"id": call.id, **written}
        part: dict[str, object] = {"functionCall": written}
        # Other APIs' signatures are JSON objects; Gemini's are base64.
        signed = call.signature and not call.signature.startswith("{")
        return {**part, "thoughtSignature": call.signature} if signed else part

    def _result(self, result: ToolResult) -> dict[str, object]:
        said = {"error" if result.is_error else "output": result.text}
        name = result.name or self._names.get(result.id, "")
        written: dict[str, object] = {"name": name, "response": said}
        if result.id and not result.id.startswith(MADE_ID):
            written = {"id": result.id, **written}
        if result.media:
            written["parts"] = [self._media(part) for part in result.media]
        return {"functionResponse": written}

    def _thinking(self, part: Thinking) -> dict[str, object] | None:
        if part.wire != WIRE:
            self._unsupported.adapt(_FOREIGN)
            return None
        written: dict[str, object] = {"text": part.text, "thought": True}
        return {**written, "thoughtSignature": part.signature} if part.signature else written

    def _opaque(self, part: Opaque, last: dict[str, object]) -> dict[str, object] | None:
        if part.wire != WIRE:
            self._unsupported.adapt(_FOREIGN)
            return None
        block = part.block
        if block.keys() != {"thoughtSignature"}:
            return block
        if "text" not in last or "thoughtSignature" in last:
            return {"text": "", **block}
        last.update(block)  # the text before is what it signs
        return None


def _sign_first_call(parts: list[dict[str, object]]) -> None:
    call = next((part for part in parts if "functionCall" in part), None)
    if call is not None:
        call.setdefault("thoughtSignature", _UNSIGNED)


def _arguments(call: ToolCall) -> dict[str, object]:
    if not call.arguments:
        return {}
    found = reading.load(call.arguments.encode())
    if found is None:
        _refuse_arguments(call)
    return found


def _refuse_arguments(call: ToolCall) -> NoReturn:
    msg = (
        f"the arguments of the call of {call.name} are no JSON object, and Gemini takes nothing"
        " else; change them"
    )
    raise RejectedError(msg)


def _is_kept(where: str) -> bool:
    """Is it the name of an uploaded file, as ``files.upload`` gives it?"""
    return where.startswith("files/")


def _kind_of(url: str) -> str | None:
    return BY_SUFFIX.get(urlsplit(url).path.rpartition(".")[2].lower())
