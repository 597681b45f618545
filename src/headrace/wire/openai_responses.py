"""OpenAI Responses, as OpenAI and servers like llama.cpp speak it: bytes out, answer in.

A conversation is sent as input items, each message in its place. Nothing is stored at the provider
(``store`` is false, as it is at Chat Completions; ``extra_body`` can say otherwise): a run keeps
its answers itself. There is no finish reason: it is read from the status, and from what the output
holds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from headrace.core.parts import Text
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Draft
from headrace.wire.reading import count, optional_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.core.model import Route
    from headrace.core.parts import Part, ToolCall
    from headrace.core.reply import Reply

EPOCH: Final = 1
PATH: Final = "/responses"

_SENT_AS: Final = (
    ("max_tokens", "max_output_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
)
_NOT_CARRIED: Final = ("top_k", "min_p", "stop", "seed", "frequency_penalty", "presence_penalty")
_ARGUMENTS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
_CUT: Final = {"max_output_tokens": "length", "content_filter": "filtered"}


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what the dialect cannot carry.
    """
    params = context.params
    body: dict[str, object] = {
        "model": route.model.name,
        "input": [_item(message) for message in context.conversation.messages],
        "store": False,
    }
    if stream:
        body["stream"] = True
    if params is not None:
        reading.refuse(params, _NOT_CARRIED, "OpenAI Responses")
        for name, sent_as in _SENT_AS:
            if (value := getattr(params, name)) is not None:
                body[sent_as] = value
        if params.reasoning_effort is not None:
            body["reasoning"] = {"effort": params.reasoning_effort}
        if params.extra_body:
            body.update(params.extra_body)
    return Draft(PATH, reading.write(body))


def _item(message: Message) -> dict[str, object]:
    content = message.content
    if type(content) is str:
        return {"role": message.role, "content": content}
    if message.role == "system":
        reading.refuse_images(message)
    kind = "output_text" if message.role == "assistant" else "input_text"
    return {"role": message.role, "content": [_part(part, kind) for part in message.parts]}


def _part(part: Part, kind: str) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": kind, "text": part.text}
    part = reading.an_image(part)
    return {
        "type": "input_image",
        "image_url": part.data_uri,
        "detail": part.detail or "auto",
    }


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` for what was blocked, and
    the error that an error object or the status ``failed`` stands for, each with the reply. Odd
    usage is None. A missing text is an answer where a tool call, thinking, or the bound on output
    stands in its place.
    """
    del context
    data = failure.read_object(reply)
    usage = _usage(data.get("usage"))
    if data.get("error"):
        raise failure.from_error_object(data, reply, usage)
    status, reason = _ending(data, reply, usage)
    said, thinking, refusal, calls = _read(data.get("output"), reply, usage)
    finish = "filtered" if refusal is not None else _finish(status, reason, calls)
    if not said and not calls:
        if finish == "filtered":
            raise failure.blocked(reply, refusal or "content_filter", usage)
        if said is None and thinking is None and finish != "length":
            raise failure.unreadable(reply, "its output has no text", usage)
    named = data.get("model")
    return APIResponse(
        completion=said or "",
        thinking=thinking,
        tool_calls=calls,
        usage=usage,
        cost_nanos=reading.reported_cost(data.get("usage")),
        finish_reason=finish,
        # One string for the whole run, not one for each answer.
        model=sys.intern(named) if type(named) is str and named else route.model.name,
        request_id=reading.request_id(reply.headers, data),
        metadata=_metadata(data, reason, refusal),
        reply=reply,
    )


def _ending(
    data: Mapping[str, object], reply: Reply, usage: Usage | None
) -> tuple[str | None, str | None]:
    """The status, and what an incomplete answer was cut by."""
    status = reading.text(data.get("status"))
    if status == "failed":
        raise failure.overloaded(reply, "status failed", usage)
    if status not in {None, "completed", "incomplete"}:
        raise failure.unreadable(reply, f"its status is {reading.clean(str(status), 30)}", usage)
    details = reading.block(data.get("incomplete_details"))
    return status, reading.text(details.get("reason"))


def _read(
    output: object, reply: Reply, usage: Usage | None
) -> tuple[str | None, str | None, str | None, tuple[ToolCall, ...]]:
    """Text, thinking, refusal and tool calls; items of other kinds are passed by."""
    if type(output) is not list:
        raise failure.unreadable(reply, "it has no output", usage)
    items = [reading.block(item) for item in output]
    messages = [item for item in items if item.get("type") == "message"]
    # What a model says on its way is no answer where it says which part is.
    final = [item for item in messages if item.get("phase") == "final_answer"]
    said = [text for item in final or messages for text in _texts(item, "content", "text")]
    refused = [text for item in messages for text in _texts(item, "content", "refusal")]
    calls = tuple(call for item in items for call in _calls(item, reply, usage))
    return (
        "".join(said) if said else None,
        _thinking(items),
        "".join(refused) if refused else None,
        calls,
    )


def _texts(item: Mapping[str, object], where: str, name: str) -> Iterator[str]:
    parts = item.get(where)
    for part in parts if type(parts) is list else ():
        if type(found := reading.block(part).get(name)) is str:
            yield found


def _thinking(items: list[dict[str, object]]) -> str | None:
    """The model's own thoughts where the server shows them, else their summary."""
    reasoning = [item for item in items if item.get("type") == "reasoning"]
    for where in ("content", "summary"):
        found = [text for item in reasoning for text in _texts(item, where, "text")]
        if joined := "\n\n".join(filter(None, found)):
            return joined
    return None


def _calls(item: Mapping[str, object], reply: Reply, usage: Usage | None) -> Iterator[ToolCall]:
    given = _ARGUMENTS.get(str(item.get("type")))
    if given is None:
        return
    call = reading.tool_call(item.get("call_id"), item.get("name"), item.get(given))
    if call is None:
        raise failure.unreadable(reply, "a tool call in it has no name or no arguments", usage)
    yield call


def _finish(status: str | None, reason: str | None, calls: tuple[ToolCall, ...]) -> str | None:
    if status == "incomplete":
        return _CUT.get(reason or "", "other")
    if calls:
        return "tool"
    return None if status is None else "stop"


def _metadata(
    data: Mapping[str, object], reason: str | None, refusal: str | None
) -> Mapping[str, object]:
    noted: dict[str, object] = {}
    if reason is not None:
        noted["finish_reason"] = reason
    if tier := reading.text(data.get("service_tier")):
        noted["service_tier"] = sys.intern(tier)
    if refusal is not None:
        noted["refusal"] = refusal
    return noted or NOTHING


def _usage(billed: object) -> Usage | None:
    """Disjoint buckets from nested ones: cached and written are parts of the input."""
    if type(billed) is not dict:
        return None
    whole, output = count(billed.get("input_tokens")), count(billed.get("output_tokens"))
    of_input = reading.block(billed.get("input_tokens_details"))
    read = optional_count(of_input.get("cached_tokens"))
    written = optional_count(of_input.get("cache_write_tokens"))
    of_output = reading.block(billed.get("output_tokens_details"))
    reasoning = optional_count(of_output.get("reasoning_tokens"))
    if whole is None or output is None or read is None or written is None or reasoning is None:
        return None
    fresh = whole - read - written
    return (
        Usage(fresh, output, read, written, reasoning) if fresh >= 0 <= output - reasoning else None
    )
