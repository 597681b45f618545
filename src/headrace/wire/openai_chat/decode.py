"""The reply: text, thinking, calls, usage, and what else servers say beside them."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headrace.core.parts import Opaque, Text, Thinking
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, minimax, reading, shaped
from headrace.wire.reading import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.context import RequestContext
    from headrace.core.errors import ProviderError
    from headrace.core.model import Route
    from headrace.core.parts import Part, ToolCall
    from headrace.core.reply import Reply

WIRE: Final = "openai_chat"
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
# What is kept as it came: what many send, and what few send beside a reply (Azure, OpenRouter,
# Perplexity, Together), its choice (Azure, OpenRouter, vLLM, SGLang), its message (OpenAI, Groq,
# OpenRouter) and its usage (Perplexity, xAI).
_NOTED: Final = ("system_fingerprint", "service_tier")
_OF_REPLY: Final = frozenset(
    {"citations", "images", "moderation", "prompt_filter_results", "provider", "related_questions"}
    | {"search_results", "videos", "warnings"}
)
_OF_CHOICE: Final = frozenset(
    {"content_filter_result", "content_filter_results", "matched_stop", "native_finish_reason"}
    | {"stop_reason"}
)
_OF_MESSAGE: Final = frozenset({"audio", "citations", "executed_tools", "images"})
_RICH: Final = _OF_MESSAGE | {"reasoning_details"}
_OF_USAGE: Final = frozenset(
    {"citation_tokens", "num_search_queries", "num_sources_used", "search_context_size"}
    | {"server_side_tool_usage_details", "server_tool_use", "server_tool_use_details"}
)
_STOPS: Final = ("stop_reason", "matched_stop")
_TO_REPLAY: Final = ("reasoning_details", "images")
# How many fields each has where there is nothing more in it; the hot path.
_BARE_MESSAGE, _BARE_CHOICE, _BARE_USAGE = 2, 3, 3
# Where counts stand outside the details: DeepSeek, Mistral, others; and SGLang.
_CACHED: Final = ("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens")


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` for what was blocked, and
    the error that an error object or finish stands for, each with the reply. Odd usage is None.

    An empty text is an answer. A missing one is an answer where a tool call, thinking, a sound, an
    image, or the finish reason ``length`` stands in its place (a bound that was used up by hidden
    reasoning).
    """
    data = failure.read_object(reply)
    choice = _choice(data, reply)
    billed = data.get("usage")
    usage, raw = read_usage(billed), reading.text(choice.get("finish_reason"))
    if raw in _BROKEN_OFF or choice.get("error"):
        raise _broken_off(choice, raw, reply, usage)
    message = choice.get("message")
    if type(message) is not dict:
        raise failure.unreadable(reply, "its choice has no message", usage)
    said, thinking = _content(message, reply, usage)
    called = message.get("tool_calls") or message.get("function_call")
    calls = _calls(message, reply, usage) if called else ()
    if calls and context.output_schema is not None:
        said, calls = shaped.split(context, route, said, calls)
    refusal = reading.text(message["refusal"]) if message.get("refusal") else None
    has_cost = type(billed) is dict and len(billed) > _BARE_USAGE
    is_plain = raw == "stop" and not called and refusal is None
    finish = raw if is_plain else _finish(raw, calls, called, refusal)
    is_rich = len(message) > _BARE_MESSAGE and not _RICH.isdisjoint(message)
    is_refused = refusal is not None and context.output_schema is not None  # see ``shaped``
    if is_refused or (not said and not calls and not _has_media(message)):
        if finish == "filtered":
            raise _blocked(choice, reply, refusal or "content_filter", usage)
        if said is None and thinking is None and finish != "length":
            raise failure.unreadable(reply, "its message has no content", usage)
    return APIResponse(
        completion=said or "",
        thinking=thinking,
        tool_calls=calls,
        content=_parts(message, said, thinking, calls) if is_rich or calls or thinking else (),
        usage=usage,
        cost_nanos=reading.reported_cost(billed) if has_cost else None,
        finish_reason=finish,
        model=_model(data) or route.model.name,
        request_id=reading.request_id(reply.headers, data),
        metadata=_metadata(data, choice, message, raw, finish, is_rich=is_rich),
        logprobs=choice.get("logprobs"),
        reply=reply,
    )


def _choice(data: Mapping[str, object], reply: Reply) -> dict[str, object]:
    choices = data.get("choices")
    if data.get("error") or (choices is None and data.get("object") == "error"):
        raise failure.from_error_object(data, reply)
    if "base_resp" in data and (error := minimax.error(data)) is not None:
        raise failure.from_error_object(error, reply)
    if type(choices) is not list or not choices:
        raise failure.unreadable(reply, "it has no choices")
    choice = choices[0]
    if len(choices) > 1:
        choice = next((c for c in choices if reading.block(c).get("index") == 0), choice)
    if type(choice) is not dict:
        raise failure.unreadable(reply, "its choice is not an object")
    return choice


def _model(data: Mapping[str, object]) -> str | None:
    """One string for the whole run, not one for each answer."""
    named = data.get("model")
    return sys.intern(named) if type(named) is str else None


def _broken_off(
    choice: Mapping[str, object], raw: str | None, reply: Reply, usage: Usage | None
) -> ProviderError:
    if choice.get("error"):  # OpenRouter
        return failure.from_error_object(choice, reply, usage)
    return failure.overloaded(reply, f"finish_reason {raw}", usage)


def _blocked(
    choice: Mapping[str, object], reply: Reply, reason: str, usage: Usage | None
) -> ProviderError:
    """What was kept back; Azure says for which of its categories."""
    error = failure.blocked(reply, reason, usage)
    found = reading.block(choice.get("content_filter_results"))
    named = [name for name, said in found.items() if reading.block(said).get("filtered") is True]
    if named:
        error.details = {**(error.details or {}), "category": reading.clean(", ".join(named))}
    return error


def _has_media(message: Mapping[str, object]) -> bool:
    return bool(message.get("audio") or message.get("images"))


def _parts(
    message: Mapping[str, object],
    said: str | None,
    thinking: str | None,
    calls: tuple[ToolCall, ...],
) -> tuple[Part, ...]:
    """What the next turn needs of an answer that is more than text; else nothing."""
    parts: list[Part] = []
    if thinking is not None:
        parts.append(Thinking(thinking, _signature(message.get("content")), WIRE))
    kept = (_kept({name: found}) for name in _TO_REPLAY if (found := message.get(name)))
    parts.extend(part for part in kept if part is not None)
    if sound := reading.text(reading.block(message.get("audio")).get("id")):
        parts.append(Opaque.of(WIRE, {"audio": {"id": sound}}))
    elif said and (parts or calls):
        parts.append(Text(said))
    return (*parts, *calls)


def _kept(block: Mapping[str, object]) -> Opaque | None:
    try:
        return Opaque.of(WIRE, block)
    except TypeError:  # deeper than orjson writes
        return None


def _signature(content: object) -> str | None:
    """Mistral's, beside its thinking."""
    if type(content) is not list:
        return None
    return next(
        (s for p in content if (s := reading.text(reading.block(p).get("signature")))), None
    )


def _content(
    message: Mapping[str, object], reply: Reply, usage: Usage | None
) -> tuple[str | None, str | None]:
    """Text and thinking; each may stand in the content, or thinking beside it under two names."""
    said = message.get("content")
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if thinking is not None:
        thinking = reading.text(thinking)
    if said is None or type(said) is str:
        if not said and "audio" in message:
            said = reading.text(reading.block(message["audio"]).get("transcript"))
        return said, thinking
    if type(said) is not list:
        raise failure.unreadable(reply, "its content is neither text nor a list of parts", usage)
    parts = [{"type": "text", "text": p} if type(p) is str else reading.block(p) for p in said]
    texts = [p["text"] for p in parts if type(p.get("text")) is str]
    thoughts = [found for p in parts if (found := thought(p.get("thinking")))]
    return "".join(texts) if texts else None, thinking or "".join(thoughts) or None  # type: ignore[arg-type]  # texts are tested


def thought(value: object) -> str:
    """Mistral's thinking chunks: a text, or a list of text chunks."""
    if type(value) is list:
        return "".join(reading.text(reading.block(part).get("text")) or "" for part in value)
    return reading.text(value) or ""


def _calls(
    message: Mapping[str, object], reply: Reply, usage: Usage | None
) -> tuple[ToolCall, ...]:
    found = message.get("tool_calls") or [{"function": message["function_call"]}]
    calls = [_call(reading.block(item)) for item in found] if type(found) is list else [None]
    readable = tuple(call for call in calls if call is not None)
    if len(readable) < len(calls):
        raise failure.unreadable(reply, "a tool call in it has no name or no arguments", usage)
    return readable


def _call(item: Mapping[str, object]) -> ToolCall | None:
    custom = item.get("custom")
    if type(custom) is dict:
        made = reading.tool_call(item.get("id"), custom.get("name"), custom.get("input"))
        return None if made is None else replace(made, kind="custom")
    function = reading.block(item.get("function"))
    return reading.tool_call(item.get("id"), function.get("name"), function.get("arguments"))


def _finish(
    raw: str | None, calls: tuple[ToolCall, ...], called: object, refusal: str | None
) -> str | None:
    if refusal is not None:
        return "filtered"
    if raw is None:  # xAI sends an empty one beside tool calls
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    if called and finish in {"stop", "tool"}:  # the one that gives the answer is none for others
        return "tool" if calls else "stop"
    return finish


def _metadata(  # noqa: C901  on the hot path, where each call costs
    data: Mapping[str, object],
    choice: Mapping[str, object],
    message: Mapping[str, object],
    raw: str | None,
    finish: str | None,
    *,
    is_rich: bool,
) -> Mapping[str, object]:
    """What servers say beside the answer, under their own names; empty things are left out."""
    noted: dict[str, object] = {} if raw == finish or raw is None else {"finish_reason": raw}
    for name in _NOTED:
        value = data.get(name)
        if value is not None and type(value) is str:
            noted[name] = value
    if not _OF_REPLY.isdisjoint(data):
        _note(noted, data, _OF_REPLY)
    if len(message) > _BARE_MESSAGE:
        if found := message.get("annotations"):
            noted["annotations"] = found
        if (refusal := message.get("refusal")) and type(refusal) is str:
            noted["refusal"] = refusal
        if is_rich:
            _note(noted, message, _OF_MESSAGE)
    if len(choice) - ("logprobs" in choice) > _BARE_CHOICE:
        _note_choice(noted, choice)
    billed, choices = data.get("usage"), data["choices"]
    if type(billed) is dict and len(billed) - 2 * ("prompt_tokens_details" in billed) > _BARE_USAGE:
        _note(noted, billed, _OF_USAGE)
    if type(choices) is list and len(choices) > 1:
        noted["choices"] = len(choices)
    return noted or NOTHING


def _note(noted: dict[str, object], found: Mapping[str, object], names: frozenset[str]) -> None:
    for name in sorted(names.intersection(found)):
        if value := found[name]:
            noted[name] = value


def _note_choice(noted: dict[str, object], choice: Mapping[str, object]) -> None:
    _note(noted, choice, _OF_CHOICE.difference(_STOPS))
    stop = choice.get("stop_reason") or choice.get("matched_stop")
    if type(stop) is str:  # vLLM and SGLang; a number is the id of an end token
        noted["stop_sequence"] = stop


def read_usage(billed: object) -> Usage | None:
    """Disjoint buckets from OpenAI's nested ones: cached and written are parts of the prompt."""
    if type(billed) is not dict:
        return None
    prompt, output = count(billed.get("prompt_tokens")), count(billed.get("completion_tokens"))
    if prompt is None or output is None:
        return None
    if len(billed) == 3 and "total_tokens" in billed:  # noqa: PLR2004 - no details; the hot path
        return Usage(prompt, output)
    found, more = billed.get("prompt_tokens_details"), billed.get("completion_tokens_details")
    of_prompt = found if type(found) is dict else {}
    of_output = more if type(more) is dict else {}
    if (read := of_prompt.get("cached_tokens")) is None:
        read = _outside(billed, _CACHED)
    if (reasoning := of_output.get("reasoning_tokens")) is None:
        reasoning = billed.get("reasoning_tokens")
    written = of_prompt.get("cache_write_tokens")
    read = 0 if read is None else count(read)
    reasoning = 0 if reasoning is None else count(reasoning)
    written = 0 if written is None else count(written)
    if read is None or written is None or reasoning is None:
        return None
    if reasoning and billed.get("total_tokens") == prompt + output + reasoning:
        output += reasoning  # xAI counts them beside each other
    fresh = prompt - read - written
    return (
        Usage(fresh, output, read, written, reasoning) if fresh >= 0 <= output - reasoning else None
    )


def _outside(billed: Mapping[str, object], names: tuple[str, ...]) -> object:
    """A count from outside the details, where some servers have it."""
    return next((value for name in names if (value := billed.get(name)) is not None), None)
