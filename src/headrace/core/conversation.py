"""What is asked: a conversation of messages, each a text or a tuple of parts. All frozen.

A plain string, ``Message.user(string)`` and ``[{"role": "user", "content": string}]`` are the same
prompt and have the same fingerprint: a message whose only part is text is kept as that text.
A string from a data row is never opened as a local file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Never, TypeAlias, cast

from headrace.core import fingerprint
from headrace.core.dicts import ROLES, Role, is_list, read_message, read_parts, read_role
from headrace.core.errors import BadRowError
from headrace.core.media import Audio, File, Image
from headrace.core.parts import (
    PARTS,
    CacheBreakpoint,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    canonical_content,
)
from headrace.core.plain import kind_of, plain

__all__ = ["ROLES", "Conversation", "Message", "Prompt", "Role", "brief"]

_SHOWN: Final = 60
# What a turn of each role may hold; a system message with an image is refused by each dialect.
_ANSWERED: Final = (Text, Image, File, Audio, Thinking, Opaque, ToolCall, CacheBreakpoint)
_SAID: Final = (Text, Image, File, Audio, CacheBreakpoint)
_ALLOWED: Final[dict[Role, tuple[type, ...]]] = {
    "system": _SAID,
    "user": (*_SAID, ToolResult, Opaque),
    "assistant": _ANSWERED,
    "tool": (*_SAID, ToolResult, Opaque),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: who speaks, and a text or several parts.

    A turn of the user that holds results of tools has the role "tool". ``name`` tells speakers of
    one role apart, where an API has a place for it.
    """

    role: Role
    content: str | tuple[Part, ...]
    name: str | None = None

    def __post_init__(self) -> None:
        """Check the role and the parts, and keep a lone text part as plain text."""
        role, content = read_role(self.role), self.content
        if role is not self.role:
            object.__setattr__(self, "role", role)
        if self.name is not None:
            object.__setattr__(self, "name", _named(self.name))
        if type(content) is str and content.isascii() and role != "tool":
            return
        if isinstance(content, str) and role != "tool":
            object.__setattr__(self, "content", plain(content))
            return
        role, parts = _settled(role, () if isinstance(content, str) else read_parts(content, role))
        only = parts[0] if len(parts) == 1 else None
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "content", only.text if isinstance(only, Text) else parts)

    @classmethod
    def system(cls, text: str) -> Message:
        """Instructions to the model."""
        return cls("system", text)

    @classmethod
    def user(cls, content: str | Part | Sequence[Part], *more: Part) -> Message:
        """What the user says, with images, files or audio after it if there are any."""
        return cls("user", _with_parts(content, more))

    @classmethod
    def assistant(cls, content: str | Part | Sequence[Part], *more: Part) -> Message:
        """What the model said before, with the calls that it asked for after it."""
        return cls("assistant", _with_parts(content, more))

    @classmethod
    def tool(cls, *results: ToolResult) -> Message:
        """What the tools gave back."""
        return cls("tool", results)

    @classmethod
    def from_dict(cls, data: object) -> Message:
        """Read a ``{"role", "content"}`` dict in OpenAI's or Anthropic's style."""
        return cls(*read_message(data))

    @property
    def text(self) -> str:
        """All text of the message, without what is not text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts, whatever its form."""
        return (Text(self.content),) if isinstance(self.content, str) else self.content


@dataclass(frozen=True, slots=True)
class Conversation:
    """An immutable sequence of messages; each builder returns a new conversation."""

    messages: tuple[Message, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is for ``from_messages`` to read."""
        if type(self.messages) is not tuple:
            object.__setattr__(self, "messages", _several(self.messages))
        for message in self.messages:
            if not isinstance(message, Message):
                msg = "a Conversation holds Message objects; use Conversation.from_messages()"
                raise BadRowError(msg)

    def add(self, *messages: Message) -> Conversation:
        """Add turns that are there already, such as ``response.message``."""
        return Conversation((*self.messages, *messages))

    def system(self, text: str) -> Conversation:
        """Add instructions."""
        return self.add(Message("system", text))

    def user(self, content: str | Part | Sequence[Part], *more: Part) -> Conversation:
        """Add a turn of the user, with images, files or audio after the text if there are any."""
        return self.add(Message("user", _with_parts(content, more)))

    def assistant(self, content: str | Part | Sequence[Part], *more: Part) -> Conversation:
        """Add a turn of the model."""
        return self.add(Message("assistant", _with_parts(content, more)))

    def tool(self, *results: ToolResult) -> Conversation:
        """Add what the tools gave back for the calls of the turn before."""
        return self.add(Message("tool", results))

    def cached(self) -> Conversation:
        """Mark that the provider shall keep what it read up to here; see ``CacheBreakpoint``."""
        *before, last = self.messages
        return Conversation((*before, replace(last, content=(*last.parts, CacheBreakpoint()))))

    @classmethod
    def from_messages(cls, messages: Sequence[object]) -> Conversation:
        """Read a list of ``{"role", "content"}`` dicts, with or without ``Message`` objects."""
        several = _several(messages)
        return cls(tuple(m if isinstance(m, Message) else Message.from_dict(m) for m in several))

    @classmethod
    def of(cls, prompt: object) -> Conversation:
        """Any accepted form of a prompt as a conversation.

        Raises ``BadRowError`` with what was wrong for everything else, empty prompts included.
        """
        if isinstance(prompt, str):
            return cls((Message("user", prompt),)) if prompt else _refuse_empty()
        if isinstance(prompt, Conversation):
            # The usual case of one that was read before, and costs nothing.
            told = len(prompt.messages) == 1 and prompt.messages[0].content
            return prompt if told else _checked(prompt)
        if isinstance(prompt, Message):
            return _checked(cls((prompt,)))
        if isinstance(prompt, list | tuple):
            return _checked(cls.from_messages(prompt))
        msg = (
            "a prompt must be a string, a Conversation, a Message or a list of"
            f' {{"role", "content"}} dicts, not {kind_of(prompt)}'
        )
        raise BadRowError(msg)

    def canonical(self) -> list[object]:
        """The semantic form that keys are made of: media by digest and type, URLs by URL."""
        return [
            [m.role, canonical_content(m.content)]
            if m.name is None
            else [m.role, canonical_content(m.content), m.name]
            for m in self.messages
        ]

    @property
    def fingerprint(self) -> str:
        """32 hex digits that are equal for equal prompts (a 128-bit hash of the semantic form)."""
        return fingerprint.of_conversation(self.canonical())


def brief(text: str | None) -> str | None:
    """``text`` as it is shown in passing."""
    return text if text is None or len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


Prompt: TypeAlias = str | Conversation | Message | Sequence[Mapping[str, object]]


def _settled(role: Role, parts: tuple[Part, ...]) -> tuple[Role, tuple[Part, ...]]:
    """The role that a turn with these parts has; raises ``BadRowError`` where they do not fit."""
    allowed = _ALLOWED[role]
    for part in parts:
        if not isinstance(part, allowed):
            msg = f"a {role} message cannot hold a {type(part).__name__}; put it into another turn"
            raise BadRowError(msg)
    has_results = any(isinstance(part, ToolResult) for part in parts)
    if role == "tool" and not has_results:
        msg = "a tool message needs the id of the call that it answers (tool_call_id)"
        raise BadRowError(msg)
    return ("tool" if has_results else role), parts


def _named(name: object) -> str:
    if isinstance(name, str) and name:
        return plain(name)
    msg = f"the name of a message must be a text that is not empty, not {kind_of(name)}"
    raise BadRowError(msg)


def _with_parts(
    content: str | Part | Sequence[Part], more: tuple[Part, ...]
) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return (*((Text(content),) if content else ()), *more) if more else content
    if isinstance(content, PARTS):
        return (content, *more)
    return (*cast("Sequence[Part]", content), *more) if is_list(content) else cast("str", content)


def _several(messages: object) -> tuple[object, ...]:
    if not isinstance(messages, Iterable) or isinstance(messages, str | bytes | Mapping):
        msg = f"a conversation is a list of messages, not {kind_of(messages)}"
        raise BadRowError(msg)
    return tuple(messages)


def _checked(prompt: Conversation) -> Conversation:
    if not any(message.content for message in prompt.messages):
        return _refuse_empty()
    if any(message.role == "tool" for message in prompt.messages):
        _check_results(prompt.messages)
    return prompt


def _check_results(messages: tuple[Message, ...]) -> None:
    """Raise ``BadRowError`` for a result whose call was never made."""
    asked: set[str] = set()
    for message in messages:
        for part in message.parts if message.role in {"assistant", "tool"} else ():
            if isinstance(part, ToolCall):
                asked.add(part.id)
            elif isinstance(part, ToolResult) and part.id not in asked:
                msg = (
                    f"the tool result {part.id!r:.80} answers no call of an earlier message;"
                    " keep the assistant's message with the call in the conversation"
                )
                raise BadRowError(msg)


def _refuse_empty() -> Never:
    msg = "the prompt is empty; give it some text"
    raise BadRowError(msg)
