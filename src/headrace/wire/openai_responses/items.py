"""Messages as input items: one for each turn of text and media, one for each call and result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import RejectedError
from headrace.core.media import Audio, File, Image
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall, ToolResult
from headrace.wire.openai_responses import calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.conversation import Message
    from headrace.core.parts import Part
    from headrace.wire.draft import Unsupported

    Item = dict[str, object]

# How long OpenAI keeps what is marked; other marks are left to its own cache, which needs none.
_TTLS: Final = frozenset({"30m", "12h"})
_NAMED: Final = {Image: "an image", File: "a file", Audio: "audio"}
_WHO: Final = "OpenAI Responses"
_ENDINGS: Final = {"application/pdf": "pdf", "text/plain": "txt", "text/markdown": "md"}


def items(messages: tuple[Message, ...], unsupported: Unsupported) -> list[Item]:
    """All of a conversation; raises ``RejectedError`` for what no item can hold."""
    found: list[Item] = []
    kinds: dict[str, str] = {}
    for message in messages:
        content = message.content
        if type(content) is str:
            found.append(_said(content) if message.role == "assistant" else _asked(message))
        elif message.role == "assistant":
            found.extend(_answered(message.parts, kinds, unsupported))
        else:
            found.extend(_turns(message, kinds, unsupported))
    return found


def _asked(message: Message) -> Item:
    return {"role": message.role, "content": message.content}


def _said(text: str, phase: object = None) -> Item:
    # llama.cpp knows turns of the assistant by their type alone.
    item: Item = {"type": "message", "role": "assistant", "content": text}
    return item if phase is None else {**item, "phase": phase}


def _answered(
    parts: tuple[Part, ...], kinds: dict[str, str], unsupported: Unsupported
) -> Iterator[Item]:
    """What the model said and did. Texts in a row are one item: the API takes text, not parts."""
    said: list[str] = []
    phase: object = None
    for part in parts:
        if isinstance(part, Text):
            said.append(part.text)
            continue
        if isinstance(part, CacheBreakpoint):
            continue
        if said:
            yield _said("".join(said), phase)
            said, phase = [], None
        block = _done(part, kinds, unsupported)
        if block is not None and "type" not in block:
            phase = block.get("phase")
        elif block is not None:
            yield block
    if said:
        yield _said("".join(said), phase)


def _done(part: Part, kinds: dict[str, str], unsupported: Unsupported) -> Item | None:
    """A call, or a block that came from this API; a block without type is a message's phase."""
    if isinstance(part, ToolCall):
        kinds[part.id] = part.kind
        return calls.write(part)
    if isinstance(part, Opaque):
        return next(iter(unsupported.own(part, calls.WIRE, _WHO)), None)
    if isinstance(part, Thinking):
        unsupported.adapt("thinking is left out: OpenAI Responses takes back its own items alone")
        return None
    named = _NAMED.get(type(part), type(part).__name__)
    msg = f"a message of the assistant holds {named}; put it into a message of the user"
    raise RejectedError(msg)


def _turns(message: Message, kinds: dict[str, str], unsupported: Unsupported) -> Iterator[Item]:
    """What the user, the system or tools say, in its order."""
    role = "user" if message.role == "tool" else message.role
    content: list[Item] = []
    for part in message.parts:
        if isinstance(part, CacheBreakpoint):
            _mark(content, part)
        elif not isinstance(part, ToolResult | Opaque):
            content.append(_part(part, role))
        else:
            if content:
                yield {"role": role, "content": content}
                content = []
            yield from _given(part, kinds, unsupported)
    if content:
        yield {"role": role, "content": content}


def _mark(content: list[Item], mark: CacheBreakpoint) -> None:
    if content and mark.ttl in _TTLS:
        content[-1]["prompt_cache_breakpoint"] = {"mode": "explicit", "ttl": mark.ttl}


def _given(
    part: ToolResult | Opaque, kinds: dict[str, str], unsupported: Unsupported
) -> Iterator[Item]:
    if isinstance(part, Opaque):
        yield from unsupported.own(part, calls.WIRE, _WHO)
        return
    if part.is_error:
        unsupported.adapt(
            "the mark of a failed tool is left out, its text is sent: OpenAI Responses has none"
        )
    kind = kinds.get(part.id, "function")
    if kind == calls.COMPUTER:
        yield _screenshot(part, unsupported)
        return
    named = "custom_tool_call_output" if kind == "custom" else "function_call_output"
    content = part.content
    output = content if isinstance(content, str) else [_part(p, "user") for p in content]
    yield {"type": named, "call_id": part.id, "output": output}


def _screenshot(result: ToolResult, unsupported: Unsupported) -> Item:
    images = [part for part in result.media if isinstance(part, Image)]
    if not images:
        msg = f"the result of the computer call {result.id!r:.80} needs a screenshot, an Image"
        raise RejectedError(f"{msg}; add one")
    if result.text or len(result.media) > 1:
        unsupported.adapt(
            "of the result of a computer call the last image is sent and the rest is left out:"
            " OpenAI Responses takes one screenshot"
        )
    shown = {"type": "computer_screenshot", **_place(images[-1])}
    return {"type": "computer_call_output", "call_id": result.id, "output": shown}


def _part(part: Part, role: str) -> Item:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if role == "system":
        named = _NAMED.get(type(part), type(part).__name__)
        msg = f"a system message holds {named}; put it into a message of the user"
        raise RejectedError(msg)
    if isinstance(part, Image):
        return {"type": "input_image", **_place(part), "detail": part.detail or "auto"}
    if isinstance(part, File):
        return {"type": "input_file", **_document(part)}
    msg = "OpenAI Responses takes no audio; send it through Chat Completions, or as written text"
    raise RejectedError(msg)


def _place(image: Image) -> Item:
    if image.file_id is not None:
        return {"file_id": image.file_id}
    return {"image_url": image.data_uri}


def _document(file: File) -> Item:
    if file.file_id is not None:
        return {"file_id": file.file_id}
    if file.url is not None:
        return {"file_url": file.url}
    # The API reads what a file is from its name as well.
    name = file.name or f"file.{_ENDINGS.get(file.media_type or '', 'pdf')}"
    return {"filename": name, "file_data": file.data_uri}
