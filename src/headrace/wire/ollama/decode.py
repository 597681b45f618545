"""Ollama's answers.

It sends no ids with calls, or did not in older versions, so a call without one is named by its
place among all calls of the conversation: ``call_0``, ``call_1``, and so on.
"""

from __future__ import annotations

import sys
from itertools import count as counted
from typing import TYPE_CHECKING, Final

from headrace.core.parts import Text, Thinking, ToolCall
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.core.context import RequestContext
    from headrace.core.errors import ProviderError
    from headrace.core.model import Route
    from headrace.core.parts import Part
    from headrace.core.reply import Reply

_FINISH: Final = {"stop": "stop", "length": "length"}
# The model was loaded or unloaded, and asked nothing.
_UNASKED: Final = frozenset({"load", "unload"})
_SPANS: Final = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
_TEXTS: Final = ("remote_model", "remote_host")


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, such as the news that a model was loaded, and the
    error that an ``error`` stands for, each with the reply. Odd usage is None.
    """
    data = failure.read_object(reply)
    if data.get("error"):
        raise error_of(data, reply)
    usage = usage_of(data)
    message = data.get("message")
    if type(message) is not dict:
        raise failure.unreadable(reply, "it has no message", usage)
    said = message.get("content")
    if said is not None and type(said) is not str:
        raise failure.unreadable(reply, "its content is no text", usage)
    thinking = reading.text(message.get("thinking"))
    calls = _calls(message, context, reply, usage)
    raw = reading.text(data.get("done_reason"))
    if not said and not calls and thinking is None:
        _check_empty(said, raw, reply, usage)
    before: tuple[Part, ...] = () if thinking is None else (Thinking(thinking),)
    texts: tuple[Part, ...] = (Text(said),) if said else ()
    named = data.get("model")
    return APIResponse(
        completion=said or "",
        thinking=thinking,
        tool_calls=calls,
        content=(*before, *texts, *calls) if before or calls else (),
        usage=usage,
        finish_reason=_finish(raw, calls),
        # One string for the whole run, not one for each answer.
        model=sys.intern(named) if type(named) is str and named else route.model.name,
        request_id=reading.request_id(reply.headers, data),
        logprobs=data.get("logprobs") or None,
        metadata=_metadata(data, raw, _finish(raw, calls)),
        reply=reply,
    )


def error_of(data: Mapping[str, object], reply: Reply) -> ProviderError:
    """The error that an ``error`` beside status 200 stands for: mostly a model that broke down."""
    error = failure.from_error_object(data, reply)
    said = reading.text(data.get("error"))
    return failure.overloaded(reply, said) if said and error.code == "unreadable_reply" else error


def _check_empty(said: str | None, raw: str | None, reply: Reply, usage: Usage | None) -> None:
    if raw in _UNASKED:
        raise failure.unreadable(reply, f"it says {raw}, and nothing was asked of the model", usage)
    if said is None and raw != "length":
        raise failure.unreadable(reply, "its message has no content", usage)


def call_names(context: RequestContext) -> Iterator[str]:
    """Ids for calls that come without one, none of which an earlier call here was given."""
    messages = context.conversation.messages
    made = sum(isinstance(part, ToolCall) for message in messages for part in message.parts)
    return (f"call_{number}" for number in counted(made))


def call_of(item: object, names: Iterator[str]) -> ToolCall | None:
    """One call; None where it cannot be read."""
    block, name = reading.block(item), next(names)
    function = reading.block(block.get("function"))
    identity = reading.text(block.get("id")) or name
    return reading.tool_call(identity, function.get("name"), function.get("arguments"))


def _calls(
    message: Mapping[str, object], context: RequestContext, reply: Reply, usage: Usage | None
) -> tuple[ToolCall, ...]:
    found = message.get("tool_calls")
    if not found:
        return ()
    names = call_names(context)
    calls = [call_of(item, names) for item in found] if type(found) is list else [None]
    readable = tuple(call for call in calls if call is not None)
    if len(readable) < len(calls):
        raise failure.unreadable(reply, "a tool call in it has no name or no arguments", usage)
    return readable


def _finish(raw: str | None, calls: tuple[ToolCall, ...]) -> str | None:
    if raw is None:
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    return "tool" if calls and finish == "stop" else finish


def _metadata(
    data: Mapping[str, object], raw: str | None, finish: str | None
) -> Mapping[str, object]:
    noted: dict[str, object] = {} if raw == finish or raw is None else {"finish_reason": raw}
    for name in _SPANS:
        if (value := reading.count(data.get(name))) is not None:
            noted[name] = value
    for name in _TEXTS:
        if (text := reading.text(data.get(name))) is not None:
            noted[name] = text
    return noted or NOTHING


def usage_of(data: Mapping[str, object]) -> Usage | None:
    """The tokens that were evaluated: a count of 0 is left out, as that of a cached prompt is."""
    read, written = data.get("prompt_eval_count"), data.get("eval_count")
    if read is None and written is None:
        return None
    fresh, output = reading.optional_count(read), reading.optional_count(written)
    return None if fresh is None or output is None else Usage(fresh, output)
