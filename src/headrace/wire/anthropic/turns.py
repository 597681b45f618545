"""The conversation as Anthropic writes it: system blocks, turns, and the blocks that they hold."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from headrace.core.errors import RejectedError
from headrace.core.media import Audio, File, Image
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall, ToolResult
from headrace.wire import reading
from headrace.wire.anthropic import caching, media

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.core.conversation import Message
    from headrace.core.parts import Part
    from headrace.wire.draft import Unsupported

Block: TypeAlias = dict[str, object]
WIRE: Final = "anthropic"
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_TOOLSETS: Final = frozenset({"browser", "computer"})
_ROLES: Final = {"user": "user", "tool": "user", "assistant": "assistant", "system": "system"}


class Prompt(NamedTuple):
    """``is_rich`` says that marks, files or betas may be in it."""

    system: list[Block]
    turns: list[Block]
    has_system_turns: bool = False
    is_rich: bool = False
    betas: tuple[str, ...] = ()


def read(messages: tuple[Message, ...], unsupported: Unsupported) -> Prompt:
    """Leading system messages, and the rest; raises ``RejectedError`` for what is not carried."""
    only = messages[0]
    if len(messages) == 1 and type(only.content) is str and only.role != "system":
        return Prompt([], [{"role": only.role, "content": only.content}])
    first = 0
    while first < len(messages) and messages[first].role == "system":
        first += 1
    if first == len(messages):
        msg = "the prompt holds system messages only, which Anthropic refuses; add one of the user"
        raise RejectedError(msg)
    writer = _Writer(unsupported)
    system = writer.blocks(messages[:first], "system")
    turns = [
        turn
        for role, run in groupby(messages[first:], lambda message: _ROLES[message.role])
        if (turn := writer.turn(role, tuple(run))) is not None
    ]
    late = any(message.role == "system" for message in messages[first:])
    return Prompt(system, turns, late, writer.is_rich, tuple(writer.betas))


class _Writer:
    """Writes blocks, and notes on the way what was met."""

    def __init__(self, unsupported: Unsupported) -> None:
        self.unsupported = unsupported
        self.betas: list[str] = []
        self.toolsets: dict[str, str] = {}
        self.is_rich = False

    def turn(self, role: str, run: Sequence[Message]) -> Block | None:
        """Messages of one role in a row as one turn; None where nothing is left of them."""
        content = run[0].content
        if len(run) == 1 and type(content) is str and content:
            return {"role": role, "content": content}
        blocks = self.blocks(run, role)
        if role == "user":  # results come first; the order of all else stays
            blocks.sort(key=lambda block: block.get("type") != "tool_result")
        return {"role": role, "content": blocks} if blocks else None

    def blocks(self, run: Sequence[Message], role: str) -> list[Block]:
        """All blocks of some messages."""
        found: list[Block] = []
        for message in run:
            if type(message.content) is str:
                found.extend(self._of(Text(message.content), role))
                continue
            self.is_rich = True
            for part in message.parts:
                if isinstance(part, CacheBreakpoint):
                    caching.put(found, part.ttl, self.unsupported)
                else:
                    found.extend(self._of(part, role))
        return found

    def _of(self, part: Part, role: str) -> Iterator[Block]:
        match part:
            case Text(text):
                if text:  # an empty one is refused
                    yield {"type": "text", "text": text}
            case Image() | File() | Audio():
                yield from self._media(part, role)
            case ToolCall():
                yield self._call(part)
            case ToolResult():
                yield self._result(part)
            case Opaque() if role == "user":
                yield from self.unsupported.own(part, WIRE, "Anthropic")
            case Thinking() | Opaque():
                yield from _kept(part)

    def _media(self, part: Image | File | Audio, role: str) -> Iterator[Block]:
        if isinstance(part, Audio):
            msg = "Claude hears no audio; write down what is said in it, or ask another model"
            raise RejectedError(msg)
        what = "an image" if isinstance(part, Image) else "a file"
        if role == "system":
            msg = f"a system message holds {what}; put it into a message of the user"
            raise RejectedError(msg)
        if role == "assistant":
            self.unsupported.adapt(
                f"{what} in an assistant's message is left out: Anthropic takes it of the user only"
            )
            return
        if part.file_id is not None:
            self.betas.append(media.FILES_BETA)
        yield media.block(part, self.unsupported)

    def _call(self, call: ToolCall) -> Block:
        given = reading.load(call.arguments.encode()) if call.arguments.strip() else {}
        if given is None:
            self.unsupported.adapt(
                f"the arguments of a call of {call.name} are no JSON object; they are sent as the"
                ' text "input"'
            )
            given = {"input": call.arguments}
        found: Block = {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": given}
        if call.kind in _TOOLSETS:
            found["toolset_name"] = self.toolsets[call.id] = call.kind
        # What was kept of who called, where it was a program of the model's.
        caller = None if call.signature is None else reading.load(call.signature.encode())
        if caller is not None and "type" in caller:  # OpenAI's signatures are objects, too
            found["caller"] = caller
        return found

    def _result(self, result: ToolResult) -> Block:
        found: Block = {"type": "tool_result", "tool_use_id": _id(result.id)}
        if isinstance(result.content, str):
            found["content"] = result.content
        else:
            found["content"] = [b for part in result.content for b in self._of(part, "user")]
        if result.is_error:
            found["is_error"] = True
        if result.id in self.toolsets:
            found["toolset_name"] = self.toolsets[result.id]
        return found


def _kept(part: Thinking | Opaque) -> Iterator[Block]:
    """What is sent back as it came; nothing where another API wrote it, which no one else reads."""
    if part.wire != WIRE:
        return
    if isinstance(part, Opaque):
        yield part.block
    elif part.signature is not None:
        yield {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _id(identity: str) -> str:
    """The id of a call as Anthropic takes it, whoever gave it."""
    return _NOT_IN_IDS.sub("_", identity) or "call"
