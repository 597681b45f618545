"""Cohere's answers. ``usage`` is what is billed; what the model really read is in the metadata."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from headrace.core.parts import Text, Thinking
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.cohere.encode import PLAN, WIRE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.parts import Part, ToolCall
    from headrace.core.reply import Reply

_FINISH: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool",
}
BROKEN_OFF: Final = frozenset({"ERROR", "TIMEOUT"})


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``OverloadedError`` for one that was broken off,
    and the error that an error object stands for, each with the reply. Odd usage is None.
    """
    del context
    data = failure.read_object(reply)
    message = data.get("message")
    if data.get("error") or type(message) is str:
        raise failure.from_error_object(data, reply)
    usage = usage_of(data.get("usage"))
    raw = reading.text(data.get("finish_reason"))
    if raw in BROKEN_OFF:
        raise failure.overloaded(reply, f"finish_reason {raw}", usage)
    if type(message) is not dict:
        raise failure.unreadable(reply, "it has no message", usage)
    parts = _parts(message, reply, usage)
    calls = _calls(message, reply, usage)
    texts = [part.text for part in parts if isinstance(part, Text)]
    thinking = "".join(part.text for part in parts if isinstance(part, Thinking)) or None
    if not texts and not calls and thinking is None and _FINISH.get(raw or "") != "length":
        raise failure.unreadable(reply, "its message has no content", usage)
    return APIResponse(
        completion="".join(texts),
        thinking=thinking,
        tool_calls=calls,
        content=(*parts, *calls) if thinking is not None or calls else (),
        usage=usage,
        finish_reason=_finish(raw, calls),
        model=route.model.name,
        request_id=reading.request_id(reply.headers, data),
        logprobs=data.get("logprobs") or None,
        metadata=_metadata(data, message, raw),
        reply=reply,
    )


def _parts(message: Mapping[str, object], reply: Reply, usage: Usage | None) -> list[Part]:
    """Plan, thinking and text, in the order in which they were made."""
    content = message.get("content")
    if type(content) is str:
        content = [{"type": "text", "text": content}]
    plan = reading.text(message.get("tool_plan"))
    found: list[Part] = [] if plan is None else [Thinking(plan, PLAN, WIRE)]
    if content is None:
        return found
    if type(content) is not list:
        raise failure.unreadable(reply, "its content is neither text nor a list", usage)
    for item in content:
        block = reading.block(item)
        kind = block.get("type")
        said = block.get(kind) if kind in ("text", "thinking") else None
        if type(said) is str:
            found.append(Text(said) if kind == "text" else Thinking(said))
        elif type(kind) is not str or kind in ("text", "thinking"):
            raise failure.unreadable(reply, "a block of its content cannot be read", usage)
    return found


def _calls(
    message: Mapping[str, object], reply: Reply, usage: Usage | None
) -> tuple[ToolCall, ...]:
    found = message.get("tool_calls")
    if not found:
        return ()
    calls = [_call(reading.block(item)) for item in found] if type(found) is list else [None]
    readable = tuple(call for call in calls if call is not None)
    if len(readable) < len(calls):
        raise failure.unreadable(reply, "a tool call in it has no name or no arguments", usage)
    return readable


def _call(item: Mapping[str, object]) -> ToolCall | None:
    function = reading.block(item.get("function"))
    return reading.tool_call(item.get("id"), function.get("name"), function.get("arguments"))


def _finish(raw: str | None, calls: tuple[ToolCall, ...]) -> str | None:
    if raw is None:
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    return "tool" if calls and finish == "stop" else finish


def _metadata(
    data: Mapping[str, object], message: Mapping[str, object], raw: str | None
) -> Mapping[str, object]:
    noted: dict[str, object] = {}
    if raw is not None:  # no word of the dialect is one of ours
        noted["finish_reason"] = sys.intern(raw)
    if citations := message.get("citations"):
        noted["citations"] = citations
    usage = reading.block(data.get("usage"))
    for name in ("tokens", "cached_tokens"):
        if (value := usage.get(name)) is not None:
            noted[name] = value
    billed = reading.block(usage.get("billed_units"))
    for name in ("search_units", "classifications"):
        if value := billed.get(name):
            noted[name] = value
    return noted or NOTHING


def usage_of(said: object) -> Usage | None:
    """The billed units; where there are none (a deployment of one's own), the tokens."""
    usage = reading.block(said)
    billed = usage.get("billed_units")
    counted = reading.block(usage.get("tokens") if billed is None else billed)
    fresh, output = _count(counted.get("input_tokens")), _count(counted.get("output_tokens"))
    return None if fresh is None or output is None else Usage(fresh, output)


def _count(value: object) -> int | None:
    """Cohere's counts are floats in its own types."""
    whole = type(value) is float and value.is_integer()
    return reading.count(int(value) if whole else value)  # type: ignore[call-overload]  # a float, as tested
