"""What Converse answers: blocks, why it ended, what it cost, and what a guardrail did."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from headrace.core.parts import Opaque, Text, Thinking
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.anthropic import shape
from headrace.wire.bedrock_converse import guardrail
from headrace.wire.bedrock_converse.turns import WIRE
from headrace.wire.reading import count, optional_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.context import RequestContext
    from headrace.core.errors import ReplyError
    from headrace.core.model import Route
    from headrace.core.parts import Part, ToolCall
    from headrace.core.reply import Reply

_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "guardrail_intervened": "filtered",
    "content_filtered": "filtered",
}
# The model wrote what Bedrock could not read: the same again may well succeed.
_BROKEN_OFF: Final = frozenset({"malformed_model_output", "malformed_tool_use"})
_NOTED: Final = (
    ("metrics", "metrics"),
    ("trace", "trace"),
    ("performanceConfig", "performance"),
    ("additionalModelResponseFields", "additional_fields"),
)


class _Content:
    """The blocks of an answer, sorted; ``parts`` are all that can be sent back, in their order."""

    __slots__ = ("_reply", "_usage", "calls", "citations", "parts", "served", "texts", "thoughts")

    def __init__(self, reply: Reply, usage: Usage | None) -> None:
        self._reply, self._usage = reply, usage
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[ToolCall] = []
        self.parts: list[Part] = []
        self.citations: list[object] = []
        self.served: list[object] = []

    def unreadable(self, reason: str) -> ReplyError:
        return failure.unreadable(self._reply, reason, self._usage)

    def take(self, block: dict[str, object]) -> None:
        if type(text := block.get("text")) is str:
            self._say(text)
        elif "toolUse" in block:
            self._call(block, reading.block(block["toolUse"]))
        elif "reasoningContent" in block:
            self._think(block, reading.block(block["reasoningContent"]))
        elif "citationsContent" in block:
            self._cite(reading.block(block["citationsContent"]))
        elif not block or "text" in block:
            raise self.unreadable("a block of its content cannot be read")
        else:
            self._keep(block)

    def _say(self, text: str) -> None:
        self.texts.append(text)
        self.parts.append(Text(text))

    def _call(self, block: dict[str, object], found: dict[str, object]) -> None:
        if found.get("type") == "server_tool_use":
            self._keep(block)
            return
        call = reading.tool_call(found.get("toolUseId"), found.get("name"), found.get("input"))
        if call is None:
            raise self.unreadable("a tool call in it has no name or no input")
        self.calls.append(call)
        self.parts.append(call)

    def _think(self, block: dict[str, object], found: dict[str, object]) -> None:
        """Only what is signed can be sent back; what is redacted is kept as it is."""
        thought = reading.block(found.get("reasoningText"))
        if type(text := thought.get("text")) is str:
            self.thoughts.append(text)
            if (signature := reading.text(thought.get("signature"))) is not None:
                self.parts.append(Thinking(text, signature, WIRE))
        elif found:
            self.parts.append(self._opaque(block))

    def _cite(self, found: dict[str, object]) -> None:
        content, citations = found.get("content"), found.get("citations")
        for item in content if type(content) is list else ():
            if type(text := reading.block(item).get("text")) is str:
                self._say(text)
        if type(citations) is list:
            self.citations.extend(citations)

    def _keep(self, block: dict[str, object]) -> None:
        """Calls of tools that run at Bedrock, their results, and what is not known yet."""
        self.parts.append(self._opaque(block))
        self.served.append(block)

    def _opaque(self, block: dict[str, object]) -> Opaque:
        try:
            return Opaque.of(WIRE, block)
        except TypeError:  # deeper than orjson writes
            raise self.unreadable("a block of its content is nested too deeply") from None

    def shape(self, name: str) -> None:
        """An answer that came as the arguments of a tool is the text, in the place of others."""
        given = [call for call in self.calls if call.name == name]
        if not given:
            return
        self.texts = [given[0].arguments]
        self.calls = [call for call in self.calls if call.name != name]
        kept = (part for part in self.parts if type(part) is not Text and part not in given)
        self.parts = [*kept, Text(self.texts[0])]

    def content(self) -> tuple[Part, ...]:
        """What a message has to hold, where that is more than text."""
        is_text = all(type(part) is Text for part in self.parts)
        return () if is_text else tuple(self.parts)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` where a guardrail or the
    model's own filter left none, and the error that an error object stands for, each with the
    reply. Usage that does not add up is None.
    """
    data = failure.read_object(reply)
    if data.get("__type") or data.get("error"):
        raise failure.from_error_object(data, reply)
    usage = usage_of(data.get("usage"))
    raw = reading.text(data.get("stopReason"))
    if raw in _BROKEN_OFF:
        raise failure.overloaded(reply, str(raw), usage)
    if raw == "guardrail_intervened":
        guardrail.check(reading.block(data.get("trace")).get("guardrail"), reply, usage)
    read = _read(data, reply, usage)
    if (name := shape.tool_name(context, route)) is not None:
        read.shape(name)
    said = "".join(read.texts)
    if raw == "content_filtered" and not said and not read.calls:
        raise failure.blocked(reply, raw, usage)
    if not read.parts and not read.thoughts and raw is None:
        raise read.unreadable("its content is empty, and it does not say why")
    return APIResponse(
        completion=said,
        thinking="".join(read.thoughts) or None,
        tool_calls=tuple(read.calls),
        content=read.content(),
        usage=usage,
        finish_reason=_finish(raw, read.calls),
        model=_model(data) or route.model.name,
        request_id=reading.request_id(reply.headers, {}),
        metadata=_metadata(data, raw, read),
        reply=reply,
    )


def _read(data: Mapping[str, object], reply: Reply, usage: Usage | None) -> _Content:
    read = _Content(reply, usage)
    content = reading.block(reading.block(data.get("output")).get("message")).get("content")
    if type(content) is not list:
        raise read.unreadable("it has no content")
    for item in content:
        read.take(reading.block(item))
    return read


def _finish(raw: str | None, calls: list[ToolCall]) -> str | None:
    if raw is None:
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    if calls:
        return "tool" if finish == "stop" else finish
    # The one call was the answer itself.
    return "stop" if finish == "tool" else finish


def _model(data: Mapping[str, object]) -> str | None:
    """Which model a router took."""
    router = reading.block(reading.block(data.get("trace")).get("promptRouter"))
    named = reading.text(router.get("invokedModelId"))
    return None if named is None else sys.intern(named)


def _metadata(data: Mapping[str, object], raw: str | None, read: _Content) -> Mapping[str, object]:
    noted: dict[str, object] = {}
    if raw is not None:  # no word of the dialect is one of ours
        noted["finish_reason"] = sys.intern(raw)
    for name, noted_as in _NOTED:
        if value := data.get(name):
            noted[noted_as] = value
    if tier := reading.text(reading.block(data.get("serviceTier")).get("type")):
        noted["service_tier"] = sys.intern(tier)
    if details := reading.block(data.get("usage")).get("cacheDetails"):
        noted["cache_details"] = details
    if read.citations:
        noted["citations"] = read.citations
    if read.served:
        noted["vendor_calls"] = read.served
    return noted or NOTHING


def usage_of(billed: object) -> Usage | None:
    """The buckets are disjoint already; what was thought is in the output, and not told apart."""
    if type(billed) is not dict:
        return None
    fresh, output = count(billed.get("inputTokens")), count(billed.get("outputTokens"))
    read = optional_count(billed.get("cacheReadInputTokens"))
    written = optional_count(billed.get("cacheWriteInputTokens"))
    if fresh is None or output is None or read is None or written is None:
        return None
    return Usage(fresh, output, read, written)
