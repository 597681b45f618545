"""Messages as turns of Converse, which alternate between user and assistant."""

from __future__ import annotations

import hashlib
import re
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.core.errors import RejectedError
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall, ToolResult
from headrace.wire import reading
from headrace.wire.bedrock_converse import caching
from headrace.wire.bedrock_converse.media import Library

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.core.conversation import Message
    from headrace.core.media import Media
    from headrace.core.parts import Part
    from headrace.wire.draft import Unsupported

    Block: TypeAlias = dict[str, object]

WIRE: Final = "bedrock_converse"
BESIDE_DOCUMENT: Final = "See the document."
# All of them hand on what Claude signed; the signatures are the same everywhere.
_SIGNED_HERE: Final = frozenset({WIRE, "anthropic", "bedrock_anthropic"})
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


class Turns:
    """Writes the messages of one request; ``called`` holds the names of tools that were called."""

    __slots__ = ("_library", "_unsupported", "called", "is_marked")

    def __init__(self, unsupported: Unsupported) -> None:
        """Begin a request."""
        self._unsupported = unsupported
        self._library = Library(unsupported)
        self.called: dict[str, None] = {}
        self.is_marked = False

    def system(self, messages: Iterable[Message]) -> list[Block]:
        """The blocks of instructions; raises ``RejectedError`` for what is none."""
        return [block for message in messages for block in self._instructions(message)]

    def turns(self, messages: Iterable[Message]) -> list[Block]:
        """Messages of one role in a row as one turn; results of tools are the user's."""
        runs = groupby(messages, _role)
        return [{"role": role, "content": self._content(role, run)} for role, run in runs]

    def _content(self, role: str, run: Iterable[Message]) -> list[Block]:
        if role == "system":
            return self.system(run)
        parts = [part for message in run for part in message.parts]
        told = any(not isinstance(part, Text) or part.text.strip() for part in parts)
        blocks = [block for part in parts for block in self._block(part, role, told=told)]
        if role == "user":  # results come first, as Claude wants it; the order of all else stays
            blocks.sort(key=lambda block: "toolResult" not in block)
        if any("document" in block for block in blocks) and not any("text" in b for b in blocks):
            said = f'"{BESIDE_DOCUMENT}" is added to a turn with a document, which needs a text'
            self._unsupported.adapt(said)
            blocks.append({"text": BESIDE_DOCUMENT})
        return blocks

    def _instructions(self, message: Message) -> Iterator[Block]:
        for part in message.parts:
            if isinstance(part, CacheBreakpoint):
                yield self._mark(part.ttl)
            elif not isinstance(part, Text):
                named = type(part).__name__
                msg = f"a system message holds {named}; put it into a message of the user"
                raise RejectedError(msg)
            elif part.text.strip():
                yield {"text": part.text}

    def _block(self, part: Part, role: str, *, told: bool) -> Iterator[Block]:
        match part:
            case Text():
                yield from _text(part, told=told)
            case ToolCall():
                yield {"toolUse": self._call(part)}
            case ToolResult():
                yield {"toolResult": self._result(part)}
            case Thinking():
                yield from self._thinking(part)
            case Opaque() if role == "user":
                yield from self._unsupported.own(part, WIRE, "Bedrock")
            case Opaque():
                yield from [part.block] if part.wire == WIRE else []
            case CacheBreakpoint():
                yield self._mark(part.ttl)
            case _:
                yield from self._media(part, role)

    def _media(self, part: Media, role: str) -> Iterator[Block]:
        if role == "user":
            yield self._library.block(part)
            return
        named = type(part).__name__.lower()
        self._unsupported.adapt(
            f"the {named} in a turn of the assistant is left out: Bedrock takes it of users alone"
        )

    def _mark(self, ttl: str | None) -> Block:
        self.is_marked = True
        return caching.point(ttl, self._unsupported)

    def _call(self, call: ToolCall) -> Block:
        self.called[call.name] = None
        given = reading.load(call.arguments.encode()) if call.arguments.strip() else {}
        if given is None:
            self._unsupported.adapt(
                'the arguments of a call that are no JSON object are sent as {"arguments": TEXT}'
            )
            given = {"arguments": call.arguments}
        return {"toolUseId": call_id(call.id), "name": call.name, "input": given}

    def _result(self, result: ToolResult) -> Block:
        content: list[Block]
        if isinstance(result.content, str):
            content = [{"text": result.content}]
        else:
            content = [
                {"text": part.text} if isinstance(part, Text) else self._library.block(part)
                for part in result.content
            ]
        written: Block = {"toolUseId": call_id(result.id), "content": content}
        if result.is_error:
            written["status"] = "error"
        return written

    def _thinking(self, part: Thinking) -> Iterator[Block]:
        """What nobody signed, or another vendor, no model here would take back."""
        if part.signature is None or part.wire not in _SIGNED_HERE:
            return
        yield {
            "reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}
        }


def _role(message: Message) -> str:
    return "user" if message.role == "tool" else message.role


def _text(part: Text, *, told: bool) -> Iterator[Block]:
    """Bedrock refuses a blank text; alone in its turn it is for Bedrock to say so."""
    if not told or part.text.strip():
        yield {"text": part.text}


def call_id(given: str) -> str:
    """The id of a call, which another API may have given in another form."""
    if _CALL_ID.fullmatch(given):
        return given
    return f"call_{hashlib.sha256(given.encode()).hexdigest()[:32]}"
