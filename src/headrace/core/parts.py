"""What a message can hold beside plain text: media, tool calls and their results, thinking.

All frozen, and checked when they are made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

import orjson

from headrace.core.errors import BadRowError
from headrace.core.media import Audio, File, Image
from headrace.core.plain import plain


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text beside other parts."""

    text: str

    def __post_init__(self) -> None:
        """Refuse what is not Unicode."""
        object.__setattr__(self, "text", plain(self.text))

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return ["text", self.text]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; ``arguments`` is the raw JSON text, as it came.

    ``kind`` is "function", or what the vendor calls a tool of its own ("custom", "computer_call").
    ``signature`` is what the vendor wants to have back with the call, untouched.
    """

    id: str
    name: str
    arguments: str
    kind: str = "function"
    signature: str | None = field(default=None, repr=False)

    def canonical(self) -> list[object]:
        """What keys are made of."""
        found: list[object] = ["tool_call", self.id, self.name, _meaning(self.arguments)]
        is_plain = self.kind == "function" and self.signature is None
        return found if is_plain else [*found, self.kind, self.signature]


def _meaning(arguments: str) -> str:
    """The arguments however their blanks are set: one API gives them as text, another as values."""
    try:
        # Not orjson: whole numbers of any size stay what they are.
        return json.dumps(json.loads(arguments), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        return arguments


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back for the call with this id: a text, or parts where images are taken.

    ``name`` is the tool's; some APIs ask for it, and it is found from the call when left out.
    """

    id: str
    content: str | tuple[Text | Image | File, ...]
    name: str | None = None
    is_error: bool = False

    def __post_init__(self) -> None:
        """Refuse what is neither text nor parts."""
        plain(self.id)
        if isinstance(self.content, str):
            object.__setattr__(self, "content", plain(self.content))
            return
        several = self.content if isinstance(self.content, Sequence) else ()
        given = tuple(Text(part) if isinstance(part, str) else part for part in several)
        if not given or not all(isinstance(part, Text | Image | File) for part in given):
            msg = "the content of a tool result must be text, or a list of texts, images and files"
            raise BadRowError(msg)
        object.__setattr__(self, "content", given)

    @property
    def text(self) -> str:
        """Its text, without what is none."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def media(self) -> tuple[Image | File, ...]:
        """What is no text in it."""
        if isinstance(self.content, str):
            return ()
        return tuple(part for part in self.content if not isinstance(part, Text))

    def canonical(self) -> list[object]:
        """What keys are made of."""
        content = self.content
        said = content if isinstance(content, str) else [part.canonical() for part in content]
        found: list[object] = ["tool_result", self.id, said, self.is_error]
        return found if self.name is None else [*found, self.name]


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a model thought before it answered; with a signature it can be sent back to it.

    ``wire`` is the API that signed it; to every other one the signature means nothing.
    """

    text: str
    signature: str | None = field(default=None, repr=False)
    wire: str | None = None

    def canonical(self) -> list[object]:
        """What keys are made of."""
        found: list[object] = ["thinking", self.text, self.signature]
        # Without a signature, the API that gave it is still the only one that gets it back.
        return found if self.wire is None or self.signature is not None else [*found, self.wire]


@dataclass(frozen=True, slots=True)
class Opaque:
    """A block of one API, kept word for word (as JSON text) to be sent back to the same API.

    Encrypted reasoning, calls of tools that the vendor runs itself and their results are such.
    """

    wire: str
    json: str = field(repr=False)

    @classmethod
    def of(cls, wire: str, block: Mapping[str, object]) -> Opaque:
        """Keep ``block``."""
        return cls(wire, orjson.dumps(block).decode())

    @property
    def block(self) -> dict[str, object]:
        """The block as it came."""
        found: dict[str, object] = orjson.loads(self.json)
        return found

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return ["opaque", self.wire, self.json]


Ttl: TypeAlias = Literal["5m", "30m", "1h", "12h"]
TTLS: Final = frozenset(get_args(Ttl))


@dataclass(frozen=True, slots=True)
class CacheBreakpoint:
    """Up to here, the provider shall keep what it read: a mark where an API wants one.

    ``ttl`` is for how long ("5m", "1h" at Anthropic). It changes the bill and never the answer, so
    it is in no key.
    """

    ttl: Ttl | None = None


Part: TypeAlias = (
    Text | Image | File | Audio | ToolCall | ToolResult | Thinking | Opaque | CacheBreakpoint
)
PARTS: Final = (Text, Image, File, Audio, ToolCall, ToolResult, Thinking, Opaque, CacheBreakpoint)


def canonical_content(content: str | tuple[Part, ...]) -> object:
    """What keys are made of; a lone text is that text, and marks are left out."""
    if isinstance(content, str):
        return content
    found = [part.canonical() for part in content if not isinstance(part, CacheBreakpoint)]
    only = content[0] if len(found) == 1 else None
    return only.text if isinstance(only, Text) else found
