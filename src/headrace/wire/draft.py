"""What all codecs have in common: drafts, what could not be carried, and folded streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import orjson

from headrace.core.errors import RejectedError
from headrace.core.reply import Reply
from headrace.wire import failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.chunks import Chunk
    from headrace.core.conversation import Message
    from headrace.core.params import SamplingParams
    from headrace.core.parts import Opaque

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Draft(NamedTuple):
    """A request as it will be sent to the route's base URL.

    ``adaptations`` are sentences that say what the API has no place for, and what became of it.
    """

    path: str
    body: bytes
    headers: Headers = ()
    adaptations: tuple[str, ...] = ()
    content_type: str = "application/json"


class Fold(Protocol):
    """Folds the frames of a stream into the reply that the same request had got without one."""

    def feed(self, event: str, data: bytes) -> Sequence[Chunk]:
        """Take one frame; raises the ``ProviderError`` that an error in it stands for."""

    def reply(self) -> Reply:
        """The whole reply; raises ``TruncatedError`` where the stream ended before its finish."""


class Unsupported:
    """Notes what an API cannot carry, or refuses all of it where the caller wants that."""

    __slots__ = ("_notes", "_refuses")

    def __init__(self, params: SamplingParams | None) -> None:
        self._notes: tuple[str, ...] = ()
        self._refuses = params is not None and params.on_unsupported == "error"

    def adapt(self, sentence: str) -> None:
        """``sentence`` says what is not carried and what becomes of it."""
        if sentence not in self._notes:
            self._notes = (*self._notes, sentence)

    def told(self) -> tuple[str, ...]:
        """All that was noted, for the draft; raises ``RejectedError`` where none is allowed."""
        if self._refuses and self._notes:
            said = "; ".join(self._notes)
            what = "it" if len(self._notes) == 1 else "them"
            raise RejectedError(f'{said}; change {what}, or allow on_unsupported="adapt"')
        return self._notes

    def own(self, part: Opaque, wire: str, who: str) -> Sequence[dict[str, object]]:
        """The block of an API's own that ``part`` is; none where another API wrote it."""
        if part.wire == wire:
            return (part.block,)
        self.adapt(f"a block of another API is left out: {who} cannot read it")
        return ()

    def unnamed(self, messages: Sequence[Message], who: str) -> None:
        """Leave out the names of those who speak, which ``who`` has no place for."""
        if any(message.name is not None for message in messages):
            self.adapt(f"the name of a message is left out: {who} has none")

    def drop(self, params: SamplingParams, names: Sequence[str], who: str) -> None:
        """Leave out those parameters of ``names`` that are set, which ``who`` does not know."""
        for name in names:
            if getattr(params, name) is not None:
                self.adapt(f"{name} is left out: {who} has none")


def merge(
    body: dict[str, object], *extras: Mapping[str, object] | None, within: Sequence[str] = ()
) -> dict[str, object]:
    """``body`` with what only one server knows laid over it, one level deep.

    Objects named in ``within`` are laid over those that are there, and do not replace them.
    """
    for extra in extras:
        for name, theirs in (extra or {}).items():
            ours = body.get(name) if name in within else None
            if isinstance(ours, dict) and isinstance(theirs, dict):
                body[name] = {**ours, **theirs}
            else:
                body[name] = theirs
    return body


class Pieces:
    """A text that comes in pieces, joined once: when the reply is written."""

    __slots__ = ("_pieces",)

    def __init__(self, *pieces: str) -> None:
        self._pieces = [*pieces]

    def __str__(self) -> str:
        """All of it so far."""
        return "".join(self._pieces)

    @classmethod
    def grown(cls, before: object, more: str) -> object:
        """``before`` with ``more`` after it; what is no text gives way to ``more``."""
        if not isinstance(before, cls):
            return cls(before, more) if type(before) is str else more
        before._pieces.append(more)  # noqa: SLF001  of its own class
        return before


def joined(before: object, more: object) -> object:
    """Two objects as one, with their lists one after the other; ``before`` is used up."""
    if type(before) is not dict or type(more) is not dict:
        return before if more is None else more
    for name, value in more.items():
        had = before.get(name)
        if type(had) is list and type(value) is list:
            had.extend(value)
        else:
            before[name] = value
    return before


def folded(body: object) -> Reply:
    """The reply that a stream came to; raises ``ReplyError`` where none can be written."""
    try:
        return Reply(failure.OK, orjson.dumps(body, default=_whole))
    except TypeError:  # deeper than orjson writes
        reply = Reply(failure.OK, b"{}")
        raise failure.unreadable(reply, "what it streamed is nested too deep") from None


def _whole(value: object) -> str:
    if isinstance(value, Pieces):
        return str(value)
    raise TypeError
