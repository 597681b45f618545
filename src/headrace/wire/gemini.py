"""Gemini generateContent, as Google's Developer API speaks it: bytes out, answer in.

System messages at the beginning are the ``systemInstruction``; messages of one role in a row are
one turn; ``docs/messages.md`` has the rule. Thoughts come back as marked parts, and are billed
beside the answer's tokens.
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from headrace.core.errors import RejectedError
from headrace.core.parts import Text
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Draft
from headrace.wire.reading import count, optional_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.core.parts import Part, ToolCall
    from headrace.core.reply import Reply

EPOCH: Final = 1

_SENT_AS: Final = (
    ("max_tokens", "maxOutputTokens"),
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("stop", "stopSequences"),
    ("seed", "seed"),
    ("frequency_penalty", "frequencyPenalty"),
    ("presence_penalty", "presencePenalty"),
)
_NOT_CARRIED: Final = ("min_p",)
_THINKING: Final[dict[str, dict[str, object]]] = {
    "none": {"thinkingBudget": 0},
    **{
        effort: {"thinkingLevel": effort.upper()} for effort in ("minimal", "low", "medium", "high")
    },
}
_FINISH: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MODEL_ARMOR",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "IMAGE_OTHER",
        ),
        "filtered",
    ),
}
# The model wrote what its own server could not read: the same again may well succeed.
_BROKEN_OFF: Final = frozenset({"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"})
_NOTED: Final = (
    ("safetyRatings", "safety_ratings"),
    ("citationMetadata", "citations"),
    ("groundingMetadata", "grounding"),
    ("urlContextMetadata", "url_context"),
    ("finishMessage", "finish_message"),
)


def path(route: Route, *, stream: bool = False) -> str:
    """Where to post: the model stands in the path, not in the body."""
    asked = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{quote(route.model.name, safe='/')}:{asked}"


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what the dialect cannot carry.
    """
    params, messages = context.params, context.conversation.messages
    runs = [(role, list(run)) for role, run in groupby(messages, lambda m: m.role)]
    system = runs.pop(0)[1] if runs and runs[0][0] == "system" else None
    if not runs:
        msg = "the prompt holds system messages only, which Gemini refuses; add one of the user"
        raise RejectedError(msg)
    if any(role == "system" for role, _ in runs):
        msg = "Gemini knows no system message among the turns; put it first"
        raise RejectedError(msg)
    body: dict[str, object] = {
        "contents": [
            {"role": "model" if role == "assistant" else role, "parts": _parts(run)}
            for role, run in runs
        ]
    }
    if system is not None:
        for message in system:
            reading.refuse_images(message)
        body["systemInstruction"] = {"parts": _parts(system)}
    if params is not None:
        _add(body, params)
    return Draft(path(route, stream=stream), reading.write(body))


def _parts(run: Iterable[Message]) -> list[dict[str, object]]:
    return [_part(part) for message in run for part in message.parts]


def _part(part: Part) -> dict[str, object]:
    if isinstance(part, Text):
        return {"text": part.text}
    part = reading.an_image(part)
    if part.detail not in {None, "auto"}:
        msg = "Gemini knows no detail of an image; leave it out for this model"
        raise RejectedError(msg)
    if part.url is not None:
        return {"fileData": {"fileUri": part.url}}
    return {"inlineData": {"mimeType": part.media_type, "data": part.base64}}


def _add(body: dict[str, object], params: SamplingParams) -> None:
    reading.refuse(params, _NOT_CARRIED, "Gemini")
    config: dict[str, object] = {}
    for name, sent_as in _SENT_AS:
        if (value := getattr(params, name)) is not None:
            config[sent_as] = value
    if (effort := params.reasoning_effort) is not None:
        if effort not in _THINKING:
            msg = f"Gemini knows no reasoning_effort {effort!r}; take {', '.join(_THINKING)}"
            raise RejectedError(msg)
        config["thinkingConfig"] = _THINKING[effort]
    extra = dict(params.extra_body or {})
    config |= reading.block(extra.pop("generationConfig", None))
    if config:
        body["generationConfig"] = config
    body.update(extra)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` for a prompt or an answer
    that was blocked, and the error that an error object stands for, each with the reply. Odd usage
    is None. A missing text is an answer where a tool call, thinking, or the bound on output stands
    in its place.
    """
    del context
    data = failure.read_object(reply)
    if data.get("error"):
        raise failure.from_error_object(data, reply)
    usage = _usage(data.get("usageMetadata"))
    candidate = _candidate(data, reply, usage)
    raw = reading.text(candidate.get("finishReason"))
    if raw in _BROKEN_OFF:
        raise failure.overloaded(reply, f"finishReason {raw}", usage)
    said, thinking, calls = _read(candidate, reply, usage)
    finish = _finish(raw, calls)
    if not said and not calls:
        if finish == "filtered":
            raise failure.blocked(reply, str(raw), usage)
        if said is None and thinking is None and finish != "length":
            raise failure.unreadable(reply, "its candidate has no text", usage)
    named = data.get("modelVersion")
    return APIResponse(
        completion=said or "",
        thinking=thinking,
        tool_calls=calls,
        usage=usage,
        finish_reason=finish,
        # One string for the whole run, not one for each answer.
        model=sys.intern(named) if type(named) is str and named else route.model.name,
        request_id=reading.text(data.get("responseId")),
        metadata=_metadata(candidate, raw),
        reply=reply,
    )


def _candidate(
    data: Mapping[str, object], reply: Reply, usage: Usage | None
) -> Mapping[str, object]:
    candidates = data.get("candidates")
    if type(candidates) is list and candidates and type(candidates[0]) is dict:
        return candidates[0]
    feedback = reading.block(data.get("promptFeedback"))
    if reason := reading.text(feedback.get("blockReason")):
        raise failure.blocked(reply, reason, usage)
    raise failure.unreadable(reply, "it has no candidates", usage)


def _read(
    candidate: Mapping[str, object], reply: Reply, usage: Usage | None
) -> tuple[str | None, str | None, tuple[ToolCall, ...]]:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    parts = reading.block(candidate.get("content")).get("parts")
    for item in parts if type(parts) is list else ():
        part = reading.block(item)
        if type(text := part.get("text")) is str:
            (thoughts if part.get("thought") is True else texts).append(text)
        elif "functionCall" in part:
            calls.append(_call(reading.block(part["functionCall"]), reply, usage))
    return "".join(texts) if texts else None, "".join(thoughts) or None, tuple(calls)


def _call(found: Mapping[str, object], reply: Reply, usage: Usage | None) -> ToolCall:
    call = reading.tool_call(found.get("id"), found.get("name"), found.get("args"))
    if call is None:
        raise failure.unreadable(reply, "a function call in it has no name or no args", usage)
    return call


def _finish(raw: str | None, calls: tuple[ToolCall, ...]) -> str | None:
    if raw is None:
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    return "tool" if calls and finish == "stop" else finish


def _metadata(candidate: Mapping[str, object], raw: str | None) -> Mapping[str, object]:
    noted: dict[str, object] = {}
    if raw is not None:  # no word of the dialect is one of ours
        noted["finish_reason"] = sys.intern(raw)
    for name, noted_as in _NOTED:
        if value := candidate.get(name):
            noted[noted_as] = value
    return noted or NOTHING


def _usage(billed: object) -> Usage | None:
    """Disjoint buckets: cached is a part of the prompt; thoughts and tool prompts are beside."""
    if type(billed) is not dict:
        return None
    prompt = count(billed.get("promptTokenCount"))
    read = optional_count(billed.get("cachedContentTokenCount"))
    tools = optional_count(billed.get("toolUsePromptTokenCount"))
    output = optional_count(billed.get("candidatesTokenCount"))
    thoughts = optional_count(billed.get("thoughtsTokenCount"))
    if prompt is None or read is None or tools is None or output is None or thoughts is None:
        return None
    fresh = prompt + tools - read
    return Usage(fresh, output + thoughts, read, 0, thoughts) if fresh >= 0 else None
