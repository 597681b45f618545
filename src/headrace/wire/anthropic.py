"""Anthropic Messages: bytes out, answer in. What becomes of system messages: ``docs/messages.md``.

The API has two versions since 21 October 2026. The new one refuses sampling parameters, even with
default values; the old one knows no system message among the turns.
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final

from headrace.core.errors import ContentFilterError, RejectedError
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Draft
from headrace.wire.reading import count, optional_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.core.media import Image
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.core.parts import ToolCall
    from headrace.core.reply import Reply

    Headers: TypeAlias = tuple[tuple[str, str], ...]

EPOCH: Final = 1
PATH: Final = "/v1/messages"
HEADERS: Final[Headers] = (("anthropic-version", "2026-10-21"),)
OLD_HEADERS: Final[Headers] = (("anthropic-version", "2023-06-01"),)
MAX_TOKENS: Final = 4096

_SAMPLING: Final = frozenset({"temperature", "top_p", "top_k"})
_SENT_AS: Final = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("stop", "stop_sequences"),
)
_NOT_CARRIED: Final = ("min_p", "seed", "frequency_penalty", "presence_penalty")
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "refusal": "filtered",
}


def headers(params: SamplingParams | None) -> Headers:
    """The version to ask for: the current one, or the old one where sampling parameters are set."""
    return OLD_HEADERS if _samples(params) else HEADERS


def _samples(params: SamplingParams | None) -> bool:
    if params is None:
        return False
    if params.temperature is not None or params.top_p is not None or params.top_k is not None:
        return True
    return params.extra_body is not None and not _SAMPLING.isdisjoint(params.extra_body)


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    ``max_tokens``, which the API demands, is that of ``params``, else the model's maximum, else
    4,096. Raises ``RejectedError`` for what the dialect cannot carry.
    """
    params, model = context.params, route.model
    system, turns = _split(context.conversation.messages)
    if not turns:
        msg = "the prompt holds system messages only, which Anthropic refuses; add one of the user"
        raise RejectedError(msg)
    if _samples(params) and any(message.role == "system" for message in turns):
        msg = (
            "a system message among the turns cannot go together with temperature, top_p or top_k"
            " at Anthropic; unset these, or put the system message first"
        )
        raise RejectedError(msg)
    body: dict[str, object] = {
        "model": model.name,
        "max_tokens": model.max_output_tokens or MAX_TOKENS,
    }
    if system:
        body["system"] = _blocks(system)
    body["messages"] = _turns(turns)
    if stream:
        body["stream"] = True
    if params is not None:
        _add(body, params)
    return Draft(PATH, reading.write(body), headers(params))


def _split(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Leading system messages, and the rest."""
    first = 0
    while first < len(messages) and messages[first].role == "system":
        first += 1
    return messages[:first], messages[first:]


def _turns(messages: tuple[Message, ...]) -> list[dict[str, object]]:
    if len(messages) == 1:
        return [_turn(messages)]
    return [_turn(tuple(run)) for _, run in groupby(messages, key=lambda message: message.role)]


def _turn(run: Sequence[Message]) -> dict[str, object]:
    """Messages of one role in a row as one turn."""
    content = run[0].content
    if len(run) == 1 and type(content) is str:
        return {"role": run[0].role, "content": content}
    return {"role": run[0].role, "content": _blocks(run)}


def _blocks(run: Sequence[Message]) -> list[object]:
    for message in run:
        if message.role == "system":
            reading.refuse_images(message)
    return [block for message in run for block in reading.parts(message, _image)]


def _image(image: Image) -> dict[str, object]:
    if image.detail not in {None, "auto"}:
        msg = "Anthropic knows no detail of an image; leave it out for this model"
        raise RejectedError(msg)
    source = {"type": "url", "url": image.url}
    if image.url is None:
        source = {
            "type": "base64",
            "media_type": image.media_type,
            "data": image.base64,
        }
    return {"type": "image", "source": source}


def _add(body: dict[str, object], params: SamplingParams) -> None:
    reading.refuse(params, _NOT_CARRIED, "Anthropic")
    for name, sent_as in _SENT_AS:
        if (value := getattr(params, name)) is not None:
            body[sent_as] = value
    if params.reasoning_effort is not None:
        body["output_config"] = {"effort": _effort(params.reasoning_effort)}
    if params.extra_body:
        body.update(params.extra_body)


def _effort(effort: str) -> str:
    if effort not in _EFFORTS:
        known = "low, medium, high, xhigh or max"
        msg = f"Anthropic knows no reasoning_effort {effort!r}; take {known}, or unset it"
        raise RejectedError(msg)
    return effort


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` for a refusal, and the error
    that an error object stands for. The reply is on each of them. Usage that does not add up is
    None. No blocks at all are an answer where the reply says why it ended.
    """
    del context
    data = failure.read_object(reply)
    if data.get("type") == "error" or data.get("error"):
        raise failure.from_error_object(data, reply)
    usage = _usage(data.get("usage"))
    raw = reading.text(data.get("stop_reason"))
    if raw == "refusal":
        raise _refused(data, reply, usage)
    content = _content(data, raw, reply, usage)
    said, thinking, calls = _read(content, reply, usage)
    named = data.get("model")
    return APIResponse(
        completion=said,
        thinking=thinking,
        tool_calls=calls,
        usage=usage,
        finish_reason=_finish(raw, calls),
        # One string for the whole run, not one for each answer.
        model=sys.intern(named) if type(named) is str and named else route.model.name,
        request_id=reading.request_id(reply.headers, data),
        metadata=_metadata(data, raw),
        reply=reply,
    )


def _content(
    data: Mapping[str, object], raw: str | None, reply: Reply, usage: Usage | None
) -> list[object]:
    content = data.get("content")
    if type(content) is str:
        return [{"type": "text", "text": content}]
    if type(content) is not list:
        raise failure.unreadable(reply, "it has no content", usage)
    if not content and raw is None:
        raise failure.unreadable(reply, "its content is empty, and it does not say why", usage)
    return content


def _read(
    content: list[object], reply: Reply, usage: Usage | None
) -> tuple[str, str | None, tuple[ToolCall, ...]]:
    if len(content) == 1:
        only = content[0]
        if type(only) is dict and only.get("type") == "text" and type(only.get("text")) is str:
            return only["text"], None, ()
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for item in content:
        block = reading.block(item)
        kind = block.get("type")
        if kind == "text" and type(text := block.get("text")) is str:
            texts.append(text)
        elif kind == "thinking" and type(text := block.get("thinking")) is str:
            thoughts.append(text)
        elif kind == "tool_use":
            calls.append(_call(block, reply, usage))
        elif type(kind) is not str or kind in {"text", "thinking"}:
            raise failure.unreadable(reply, "a block of its content cannot be read", usage)
    return "".join(texts), "".join(thoughts) or None, tuple(calls)


def _call(block: Mapping[str, object], reply: Reply, usage: Usage | None) -> ToolCall:
    call = reading.tool_call(block.get("id"), block.get("name"), block.get("input"))
    if call is None:
        raise failure.unreadable(reply, "a tool call in it has no name or no input", usage)
    return call


def _finish(raw: str | None, calls: tuple[ToolCall, ...]) -> str | None:
    if raw is None:
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    return "tool" if calls and finish == "stop" else finish


def _refused(data: Mapping[str, object], reply: Reply, usage: Usage | None) -> ContentFilterError:
    stop = reading.block(data.get("stop_details"))
    found = {name: reading.text(stop.get(name)) for name in ("category", "explanation")}
    details = {name: reading.clean(value, 300) for name, value in found.items() if value}
    msg = "the model refused to answer; change the prompt"
    return ContentFilterError(
        msg, status=reply.status, reply=reply, usage=usage, details=details or None
    )


def _metadata(data: Mapping[str, object], raw: str | None) -> Mapping[str, object]:
    noted: dict[str, object] = {}
    if raw is not None:  # no word of the dialect is one of ours
        noted["finish_reason"] = sys.intern(raw)
    if sequence := reading.text(data.get("stop_sequence")):
        noted["stop_sequence"] = sequence
    if tier := reading.text(reading.block(data.get("usage")).get("service_tier")):
        noted["service_tier"] = sys.intern(tier)
    return noted or NOTHING


def _usage(billed: object) -> Usage | None:
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
