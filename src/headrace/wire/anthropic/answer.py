"""The answer in one of Claude's messages.

Blocks of tools that the vendor runs itself, and hidden thinking, are kept word for word, to be
sent back. A turn that the vendor paused (``metadata["finish_reason"]`` is "pause_turn") goes on
when ``response.message`` is added to the conversation and that is asked again.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.errors import ContentFilterError
from headrace.core.parts import Opaque, Text, Thinking, ToolCall
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.anthropic import shape
from headrace.wire.reading import count, optional_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.parts import Part
    from headrace.core.reply import Reply

WIRE: Final = "anthropic"
_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "refusal": "filtered",
}
_CALLS: Final = frozenset({"server_tool_use", "mcp_tool_use"})
_RESULT: Final = "_tool_result"
_NOTED: Final = ("container", "stop_details", "diagnostics")
_COUNTS_OF_USAGE: Final = ("cache_creation", "server_tool_use")
_WORDS_OF_USAGE: Final = ("service_tier", "speed", "inference_geo")


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` for a refusal, and the error
    that an error object stands for. The reply is on each of them. Usage that does not add up is
    None. No blocks at all are an answer where the reply says why it ended.
    """
    data = failure.read_object(reply)
    if data.get("type") == "error" or data.get("error"):
        raise failure.from_error_object(data, reply)
    billed = usage_of(data.get("usage"))
    raw = reading.text(data.get("stop_reason"))
    if raw == "refusal":
        raise _refused(data, reply, billed)
    content = _content(data, raw, reply, billed)
    said = _only_text(content)
    noted = _noted(data, raw)
    parts: tuple[Part, ...] = ()
    if said is None:
        parts = _shaped(_parts(content, reply, billed), context, route)
        noted.update(_noted_of(content))
    calls = tuple([part for part in parts if type(part) is ToolCall]) if parts else ()
    named = data.get("model")
    return APIResponse(
        completion=_joined(parts, Text) if said is None else said,
        thinking=_joined(parts, Thinking) or None,
        tool_calls=calls,
        content=parts if parts and any(type(part) is not Text for part in parts) else (),
        usage=billed,
        finish_reason=_finish(raw, calls),
        # One string for the whole run, not one for each answer.
        model=sys.intern(named) if type(named) is str and named else route.model.name,
        request_id=reading.request_id(reply.headers, data),
        metadata=noted or NOTHING,
        reply=reply,
    )


def _only_text(content: list[object]) -> str | None:
    """The text of an answer that is one plain text, which is the usual case."""
    only = content[0] if len(content) == 1 else None
    if type(only) is not dict or only.get("type") != "text" or only.get("citations"):
        return None
    said = only.get("text")
    return said if type(said) is str else None


def _content(
    data: Mapping[str, object], raw: str | None, reply: Reply, billed: Usage | None
) -> list[object]:
    content = data.get("content")
    if type(content) is str:
        return [{"type": "text", "text": content}]
    if type(content) is not list:
        raise failure.unreadable(reply, "it has no content", billed)
    if not content and raw is None:
        raise failure.unreadable(reply, "its content is empty, and it does not say why", billed)
    return content


def _parts(content: list[object], reply: Reply, billed: Usage | None) -> tuple[Part, ...]:
    found: list[Part] = []
    for item in content:
        block = reading.block(item)
        part = _part(block)
        if part is None:
            what = "a tool call in it has no name or no input"
            if block.get("type") != "tool_use":
                what = "a block of its content cannot be read"
            raise failure.unreadable(reply, what, billed)
        found.append(part)
    return tuple(found)


def _part(block: dict[str, object]) -> Part | None:
    """One block; None where it cannot be read."""
    kind = block.get("type")
    if kind == "text":
        said = block.get("text")
        return Text(said) if type(said) is str else None
    if kind == "thinking":
        said, signature = block.get("thinking"), reading.text(block.get("signature"))
        return Thinking(said, signature, signature and WIRE) if type(said) is str else None
    if kind == "tool_use":
        return _call(block)
    if type(kind) is not str:
        return None
    try:
        return Opaque.of(WIRE, block)
    except TypeError:  # deeper than can be written
        return None


def _call(block: Mapping[str, object]) -> ToolCall | None:
    """A call; of a toolset's tool its kind says which, and what program called is kept."""
    call = reading.tool_call(block.get("id"), block.get("name"), block.get("input"))
    toolset, caller = reading.text(block.get("toolset_name")), reading.block(block.get("caller"))
    called_itself = caller.get("type", "direct") == "direct"
    if call is None or (toolset is None and called_itself):
        return call
    try:
        signature = None if called_itself else orjson.dumps(caller).decode()
    except TypeError:  # deeper than can be written
        return None
    return ToolCall(call.id, call.name, call.arguments, toolset or "function", signature)


def _joined(parts: tuple[Part, ...], kind: type[Text | Thinking]) -> str:
    return "".join([part.text for part in parts if isinstance(part, kind)]) if parts else ""


def _shaped(parts: tuple[Part, ...], context: RequestContext, route: Route) -> tuple[Part, ...]:
    """An answer that came as the arguments of a tool is the text, and takes the place of others."""
    if (name := shape.tool_name(context, route)) is None:
        return parts
    given = [part for part in parts if type(part) is ToolCall and part.name == name]
    if not given:
        return parts
    answer = Text(given[0].arguments)
    kept = (part for part in parts if type(part) is not Text and part not in given)
    return (*kept, answer)


def _finish(raw: str | None, calls: tuple[ToolCall, ...]) -> str | None:
    if raw is None:
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    if calls:
        return "tool" if finish == "stop" else finish
    # The one call was the answer itself.
    return "stop" if finish == "tool" else finish


def _refused(data: Mapping[str, object], reply: Reply, billed: Usage | None) -> ContentFilterError:
    stop = reading.block(data.get("stop_details"))
    found = {name: reading.text(stop.get(name)) for name in ("category", "explanation")}
    details = {name: reading.clean(value, 300) for name, value in found.items() if value}
    msg = "the model refused to answer; change the prompt"
    return ContentFilterError(
        msg, status=reply.status, reply=reply, usage=billed, details=details or None
    )


def _noted(data: Mapping[str, object], raw: str | None) -> dict[str, object]:
    noted: dict[str, object] = {}
    if raw is not None:  # no word of the dialect is one of ours
        noted["finish_reason"] = sys.intern(raw)
    if sequence := reading.text(data.get("stop_sequence")):
        noted["stop_sequence"] = sequence
    for name in _NOTED:
        if value := reading.block(data.get(name)):
            noted[name] = value
    if type(usage := data.get("usage")) is dict:
        _note_usage(noted, usage)
    return noted


def _note_usage(noted: dict[str, object], usage: Mapping[str, object]) -> None:
    for name in _WORDS_OF_USAGE:
        if type(word := usage.get(name)) is str and word:
            noted[name] = sys.intern(word)
    for name in _COUNTS_OF_USAGE:
        if type(counts := usage.get(name)) is dict and any(counts.values()):
            noted[name] = counts


def _noted_of(content: Sequence[object]) -> Iterator[tuple[str, object]]:
    if calls := list(_vendor_calls(content)):
        yield "vendor_calls", calls
    if cited := [one for block in content for one in _cited(block)]:
        yield "citations", cited


def _vendor_calls(content: Sequence[object]) -> Iterator[dict[str, object]]:
    """Calls of tools that the vendor ran itself, each with its result where it came."""
    blocks = [reading.block(item) for item in content]
    results = {
        str(block.get("tool_use_id")): block.get("content")
        for block in blocks
        if str(block.get("type")).endswith(_RESULT)
    }
    for block in blocks:
        if block.get("type") in _CALLS:
            found = {name: block.get(name) for name in ("id", "name", "input")}
            result = results.get(str(block.get("id")))
            yield found if result is None else {**found, "result": result}


def _cited(item: object) -> list[object]:
    cited = reading.block(item).get("citations")
    return cited if type(cited) is list else []


def usage_of(billed: object) -> Usage | None:
    """The buckets are disjoint already; thinking is a part of the output."""
    if type(billed) is not dict:
        return None
    fresh, output = count(billed.get("input_tokens")), count(billed.get("output_tokens"))
    read = optional_count(billed.get("cache_read_input_tokens"))
    written = optional_count(billed.get("cache_creation_input_tokens"))
    of_output = reading.block(billed.get("output_tokens_details"))
    thinking = optional_count(of_output.get("thinking_tokens"))
    if fresh is None or output is None or read is None or written is None or thinking is None:
        return None
    return Usage(fresh, output, read, written, thinking) if thinking <= output else None
