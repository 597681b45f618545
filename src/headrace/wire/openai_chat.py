"""OpenAI Chat Completions, as OpenAI and every compatible server speak it: bytes out, answer in.

The dialect carries each conversation as it stands; ``docs/messages.md`` has the rule. Replies are
read tolerantly where servers differ (reasoning under two names, content as a list of parts, tool
arguments as objects), but nothing is an answer that has no text, thinking or tool call in it and
does not say that it was cut.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Draft
from headrace.wire.reading import count, optional_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.core.errors import ProviderError
    from headrace.core.media import Image
    from headrace.core.model import Route
    from headrace.core.parts import ToolCall
    from headrace.core.reply import Reply

EPOCH: Final = 1
PATH: Final = "/chat/completions"

_SENT_AS_NAMED: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "reasoning_effort",
)
_FINISH: Final = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filtered",
}
_BROKEN_OFF: Final = frozenset({"error", "abort", "insufficient_system_resource"})
_NOTED: Final = ("system_fingerprint", "service_tier")
# Where counts stand outside the details: DeepSeek, Mistral, others; and SGLang.
_CACHED: Final = ("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens")
_REASONED: Final = ("reasoning_tokens",)


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what the dialect cannot carry.
    """
    params = context.params
    body: dict[str, object] = {
        "model": route.model.name,
        "messages": [_message(message) for message in context.conversation.messages],
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if params is not None:
        if params.max_tokens is not None:
            body[route.endpoint.max_tokens_field] = params.max_tokens
        for name in _SENT_AS_NAMED:
            value = getattr(params, name)
            if value is not None:
                body[route.endpoint.renames.get(name, name)] = value
        if params.extra_body:
            body.update(params.extra_body)
    return Draft(PATH, reading.write(body))


def _message(message: Message) -> dict[str, object]:
    content = message.content
    if type(content) is str:
        return {"role": message.role, "content": content}
    if message.role == "system":
        reading.refuse_images(message)
    return {"role": message.role, "content": reading.parts(message, _image)}


def _image(image: Image) -> dict[str, object]:
    detail = {} if image.detail is None else {"detail": image.detail}
    return {"type": "image_url", "image_url": {"url": image.data_uri, **detail}}


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` for what was blocked, and
    the error that an error object or finish stands for, each with the reply. Odd usage is None.

    An empty text is an answer. A missing one is an answer where a tool call, thinking, or the
    finish reason ``length`` stands in its place (a bound that was used up by hidden reasoning).
    """
    del context
    data = failure.read_object(reply)
    choice = _choice(data, reply)
    usage = None if (billed := data.get("usage")) is None else _usage(billed)
    raw = reading.text(choice.get("finish_reason"))
    if raw in _BROKEN_OFF or choice.get("error"):
        raise _broken_off(choice, raw, reply, usage)
    message = choice.get("message")
    if type(message) is not dict:
        raise failure.unreadable(reply, "its choice has no message", usage)
    said, thinking = _content(message, reply, usage)
    calls = _calls(message, reply, usage)
    refusal = reading.text(message.get("refusal"))
    finish = _finish(raw, calls) if refusal is None else "filtered"
    if not said and not calls:
        if finish == "filtered":
            raise failure.blocked(reply, refusal or "content_filter", usage)
        if said is None and thinking is None and finish != "length":
            raise failure.unreadable(reply, "its message has no content", usage)
    named = data.get("model")
    return APIResponse(
        completion=said or "",
        thinking=thinking,
        tool_calls=calls,
        usage=usage,
        cost_nanos=None if billed is None else reading.reported_cost(billed),
        finish_reason=finish,
        # One string for the whole run, not one for each answer.
        model=sys.intern(named) if type(named) is str and named else route.model.name,
        request_id=reading.request_id(reply.headers, data),
        metadata=_metadata(data, choice, raw, finish, refusal),
        reply=reply,
    )


def _choice(data: Mapping[str, object], reply: Reply) -> dict[str, object]:
    choices = data.get("choices")
    if data.get("error") or (choices is None and data.get("object") == "error"):
        raise failure.from_error_object(data, reply)
    if type(choices) is not list or not choices:
        raise failure.unreadable(reply, "it has no choices")
    choice = choices[0]
    if len(choices) > 1:
        choice = next((c for c in choices if reading.block(c).get("index") == 0), choice)
    if type(choice) is not dict:
        raise failure.unreadable(reply, "its choice is not an object")
    return choice


def _broken_off(
    choice: Mapping[str, object], raw: str | None, reply: Reply, usage: Usage | None
) -> ProviderError:
    if choice.get("error"):  # OpenRouter
        return failure.from_error_object(choice, reply, usage)
    return failure.overloaded(reply, f"finish_reason {raw}", usage)


def _content(
    message: Mapping[str, object], reply: Reply, usage: Usage | None
) -> tuple[str | None, str | None]:
    """Text and thinking; each may stand in the content, or thinking beside it under two names."""
    said = message.get("content")
    thinking = reading.text(message.get("reasoning_content") or message.get("reasoning"))
    if said is None or type(said) is str:
        return said, thinking
    if type(said) is not list:
        raise failure.unreadable(reply, "its content is neither text nor a list of parts", usage)
    parts = [{"type": "text", "text": p} if type(p) is str else reading.block(p) for p in said]
    texts = [p["text"] for p in parts if type(p.get("text")) is str]
    thoughts = [thought for p in parts if (thought := _thought(p.get("thinking")))]
    return "".join(texts) if texts else None, thinking or "".join(thoughts) or None  # type: ignore[arg-type]  # texts are tested


def _thought(value: object) -> str:
    """Mistral's thinking chunks: a text, or a list of text chunks."""
    if type(value) is list:
        return "".join(reading.text(reading.block(part).get("text")) or "" for part in value)
    return reading.text(value) or ""


def _calls(
    message: Mapping[str, object], reply: Reply, usage: Usage | None
) -> tuple[ToolCall, ...]:
    found = message.get("tool_calls")
    if not found:
        found = message.get("function_call")
        if not found:
            return ()
        found = [{"function": found}]
    calls = [_call(reading.block(item)) for item in found] if type(found) is list else [None]
    readable = tuple(call for call in calls if call is not None)
    if len(readable) < len(calls):
        raise failure.unreadable(reply, "a tool call in it has no name or no arguments", usage)
    return readable


def _call(item: Mapping[str, object]) -> ToolCall | None:
    custom = item.get("custom")
    if type(custom) is dict:
        return reading.tool_call(item.get("id"), custom.get("name"), custom.get("input"))
    function = reading.block(item.get("function"))
    return reading.tool_call(item.get("id"), function.get("name"), function.get("arguments"))


def _finish(raw: str | None, calls: tuple[ToolCall, ...]) -> str | None:
    if raw is None:  # xAI sends an empty one beside tool calls
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    return "tool" if calls and finish == "stop" else finish


def _metadata(
    data: Mapping[str, object],
    choice: Mapping[str, object],
    raw: str | None,
    finish: str | None,
    refusal: str | None,
) -> Mapping[str, object]:
    noted: dict[str, object] = {} if raw == finish or raw is None else {"finish_reason": raw}
    for name in _NOTED:
        value = data.get(name)
        if value is not None and type(value) is str:
            noted[name] = value
    stop = choice.get("stop_reason") or choice.get("matched_stop")
    if type(stop) is str:  # vLLM and SGLang; a number is the id of an end token
        noted["stop_sequence"] = stop
    if refusal is not None:
        noted["refusal"] = refusal
    choices = data["choices"]
    if type(choices) is list and len(choices) > 1:
        noted["choices"] = len(choices)
    return noted or NOTHING


def _usage(billed: object) -> Usage | None:
    """Disjoint buckets from OpenAI's nested ones: cached and written are parts of the prompt."""
    if type(billed) is not dict:
        return None
    prompt, output = count(billed.get("prompt_tokens")), count(billed.get("completion_tokens"))
    if prompt is None or output is None:
        return None
    if len(billed) == 3 and "total_tokens" in billed:  # noqa: PLR2004 - no details; the hot path
        return Usage(prompt, output)
    of_prompt = reading.block(billed.get("prompt_tokens_details"))
    read = optional_count(_first(of_prompt, "cached_tokens", billed, _CACHED))
    written = optional_count(of_prompt.get("cache_write_tokens"))
    of_output = reading.block(billed.get("completion_tokens_details"))
    reasoning = optional_count(_first(of_output, "reasoning_tokens", billed, _REASONED))
    if read is None or written is None or reasoning is None:
        return None
    if reasoning and billed.get("total_tokens") == prompt + output + reasoning:
        output += reasoning  # xAI counts them beside each other
    fresh = prompt - read - written
    return (
        Usage(fresh, output, read, written, reasoning) if fresh >= 0 <= output - reasoning else None
    )


def _first(
    inner: Mapping[str, object], name: str, outer: Mapping[str, object], others: tuple[str, ...]
) -> object:
    """A count from the details, or from outside them, where some servers have it."""
    value = inner.get(name)
    if value is None:
        for other in others:
            if (value := outer.get(other)) is not None:
                break
    return value
