"""A stream folded into the reply that the same request had got without one.

Its last event holds the whole response, so nothing is put together here but chunks; where that
event has no output (some servers leave it out), the items that came before stand in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import TruncatedError
from headrace.core.reply import Reply
from headrace.wire import failure, reading, shaped
from headrace.wire.draft import folded
from headrace.wire.openai_responses import calls
from headrace.wire.openai_responses.decode import usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route

    Event = dict[str, object]

_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_THOUGHT: Final = frozenset(
    {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}
)
_ARGUMENTS: Final = frozenset(
    {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}
)


class ResponsesFold:
    """Folds one stream."""

    __slots__ = (
        "_answer",
        "_answers",
        "_asides",
        "_begun",
        "_calls",
        "_items",
        "_last",
        "_thought",
    )

    def __init__(self, answer: str | None = None) -> None:
        """``answer`` is the tool whose arguments are the answer, if one is."""
        self._answer = answer
        # Some models give it several times; the first is it.
        self._answers: dict[object, None] = {}
        self._last: Event | None = None
        self._items: list[object] = []
        self._calls: dict[object, int] = {}
        # Calls whose arguments have begun to come, and messages that are no answer.
        self._begun: set[object] = set()
        self._asides: set[object] = set()
        self._thought: tuple[object, ...] | None = None

    def feed(self, event: str, data: bytes) -> Sequence[Chunk]:
        """Take one frame; raises the ``ProviderError`` that an error in it stands for."""
        told = reading.load(data)
        if told is None:  # a ping, or a [DONE] of other dialects
            return ()
        kind = reading.text(told.get("type")) or event
        if kind == "error" or (told.get("error") and not kind.startswith("response.")):
            raise failure.from_error_object(told, Reply(failure.OK, data))
        if kind in _LAST:
            return tuple(self._end(reading.block(told.get("response"))))
        item = reading.block(told.get("item"))
        if kind == "response.output_item.added":
            return tuple(self._added(_place(told, item), item))
        if kind == "response.output_item.done":
            return tuple(self._done(_place(told, item), item))
        delta = reading.text(told.get("delta"))
        return () if delta is None else tuple(self._delta(kind, told, delta))

    def reply(self) -> Reply:
        """The whole reply; raises ``TruncatedError`` where the stream ended before its finish."""
        if self._last is None:
            msg = "the stream ended before its finish, and may have been charged; ask again"
            raise TruncatedError(msg, status=failure.OK)
        whole = self._last
        if not whole.get("output") and self._items:
            whole = {**whole, "output": self._items}
        return folded(whole)

    def _end(self, response: Event) -> Iterator[Chunk]:
        self._last = response
        if (usage := usage_of(response.get("usage"))) is not None:
            yield UsageChunk(usage)

    def _delta(self, kind: str, told: Event, delta: str) -> Iterator[Chunk]:
        place = _place(told, {})
        if kind == "response.output_text.delta":
            # What is said on the way to an answer is not the answer.
            if place in self._asides:
                yield ThinkingChunk(delta)
            elif self._answer is None:  # else it may be none; see ``shaped``
                yield TextChunk(delta)
        elif kind in _THOUGHT:
            yield self._thinking(told, place, delta)
        elif kind in _ARGUMENTS:
            self._begun.add(place)
            yield from self._piece(place, delta)

    def _thinking(self, told: Event, place: object, delta: str) -> Chunk:
        """Parts are told apart by an empty line, as they are in the answer."""
        part = (place, told.get("summary_index"), told.get("content_index"))
        new = self._thought is not None and self._thought != part
        self._thought = part
        return ThinkingChunk(f"\n\n{delta}" if new else delta)

    def _added(self, place: object, item: Event) -> Iterator[Chunk]:
        kind = calls.KINDS.get(str(item.get("type")))
        if item.get("phase") == "commentary":
            self._asides.add(place)
        elif kind is not None and kind != calls.COMPUTER:
            name, identity = reading.text(item.get("name")), reading.text(item.get("call_id"))
            if not self._is_answer(place, kind, name):
                yield ToolCallChunk(self._index(place), "", identity, name)

    def _done(self, place: object, item: Event) -> Iterator[Chunk]:
        self._items.append(item)
        kind = calls.KINDS.get(str(item.get("type")))
        call = None if kind is None else calls.read(item, kind)
        if call is None or place in self._begun:
            return
        if place in self._calls or self._is_answer(place, call.kind, call.name):
            if call.arguments:
                yield from self._piece(place, call.arguments)
        else:
            yield ToolCallChunk(self._index(place), call.arguments, call.id, call.name)

    def _is_answer(self, place: object, kind: str, name: str | None) -> bool:
        if self._answer is not None and name == self._answer and kind == "function":
            self._answers[place] = None
            return True
        return False

    def _piece(self, place: object, arguments: str) -> Iterator[Chunk]:
        if place not in self._answers:
            yield ToolCallChunk(self._index(place), arguments)
        elif place == next(iter(self._answers)):
            yield TextChunk(arguments)

    def _index(self, place: object) -> int:
        return self._calls.setdefault(place, len(self._calls))


def _place(told: Event, item: Event) -> str | int:
    """Which item an event is about; llama.cpp counts none and names them all."""
    index = told.get("output_index")
    if type(index) is int:
        return index
    return str(told.get("item_id") or item.get("id") or item.get("call_id") or "")


def fold(context: RequestContext, route: Route) -> ResponsesFold:
    """A fold for one stream."""
    return ResponsesFold(shaped.tool_name(context, route))
