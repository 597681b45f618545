"""What came back, read from the body of a generateContent reply."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from headrace.core.errors import ContentFilterError, RejectedError
from headrace.core.parts import Opaque, Part, Text, Thinking, ToolCall
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.gemini.turns import MADE_ID, WIRE
from headrace.wire.reading import count, optional_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply

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
# The model wrote what its own server could not use: the same again may well succeed.
_BROKEN_OFF: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)
_NOTED: Final = (
    ("safetyRatings", "safety_ratings"),
    ("citationMetadata", "citations"),
    ("groundingMetadata", "grounding"),
    ("urlContextMetadata", "url_context"),
    ("finishMessage", "finish_message"),
    ("avgLogprobs", "avg_logprobs"),
    ("continuationToken", "continuation_token"),
)
# What Google ran itself, and what came of it.
_RUN_BY_GOOGLE: Final = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
_ID: Final = 24
_NONE: Final[list[Any]] = []


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` for a prompt or an answer
    that was blocked, and the error that an error object stands for, each with the reply. Odd usage
    is None. A missing text is an answer where a tool call, thinking, a part of another kind, or the
    bound on output stands in its place.
    """
    del context
    data = failure.read_object(reply)
    if data.get("error"):
        raise failure.from_error_object(data, reply)
    usage = read_usage(data.get("usageMetadata"))
    candidate = _candidate(data, reply, usage)
    raw = reading.text(candidate.get("finishReason"))
    if raw in _BROKEN_OFF:
        raise failure.overloaded(reply, f"finishReason {raw}", usage)
    found = _read(candidate, data, reply, usage)
    finish = _finish(raw, found.calls)
    said = "".join(found.texts)
    thinking = "".join(found.thoughts) or None
    if not said and not found.calls:
        _check_empty(raw, candidate, reply, usage)
        if not (found.texts or thinking or found.has_more or finish == "length"):
            raise failure.unreadable(reply, "its candidate has no text", usage)
    named = data.get("modelVersion")
    return APIResponse(
        completion=said,
        thinking=thinking,
        tool_calls=tuple(found.calls) if found.calls else (),
        content=tuple(found.parts) if found.is_rich else (),
        usage=usage,
        finish_reason=finish,
        # One string for the whole run, not one for each answer.
        model=sys.intern(named) if type(named) is str and named else route.model.name,
        request_id=reading.text(data.get("responseId")),
        metadata=_metadata(data, candidate, raw, found.run),
        logprobs=candidate.get("logprobsResult") or None,
        reply=reply,
    )


def _check_empty(
    raw: str | None, candidate: Mapping[str, object], reply: Reply, usage: Usage | None
) -> None:
    """Raise what an answer without text and calls is by its finish reason."""
    if raw is not None and _FINISH.get(raw) == "filtered":
        raise _blocked(reply, raw, candidate.get("safetyRatings"), usage)
    if raw == "MISSING_THOUGHT_SIGNATURE":
        msg = (
            "Gemini misses a signature of an earlier turn; send response.message back as it came,"
            " with all its parts"
        )
        raise RejectedError(msg, status=reply.status, reply=reply, usage=usage)


def _blocked(reply: Reply, reason: str, ratings: object, usage: Usage | None) -> ContentFilterError:
    error = failure.blocked(reply, reason, usage)
    rated = (reading.block(item) for item in (ratings if type(ratings) is list else ()))
    category = next((reading.text(r.get("category")) for r in rated if r.get("blocked")), None)
    if category is not None:
        error.details = {**(error.details or {}), "category": reading.clean(category)}
    return error


def _candidate(
    data: Mapping[str, object], reply: Reply, usage: Usage | None
) -> Mapping[str, object]:
    candidates = data.get("candidates")
    if type(candidates) is list and candidates and type(candidates[0]) is dict:
        return candidates[0]
    feedback = reading.block(data.get("promptFeedback"))
    if reason := reading.text(feedback.get("blockReason")):
        raise _blocked(reply, reason, feedback.get("safetyRatings"), usage)
    raise failure.unreadable(reply, "it has no candidates", usage)


@dataclass(slots=True)
class _Found:
    """What the parts of an answer hold; ``is_rich`` where text alone would not say it again."""

    texts: list[str]
    thoughts: list[str]
    calls: list[ToolCall]
    parts: list[Part]
    run: list[object]
    is_rich: bool = False
    has_more: bool = False

    def text(self, text: str, part: Mapping[str, object]) -> None:
        signature = reading.text(part.get("thoughtSignature"))
        if part.get("thought") is True:
            self.thoughts.append(text)
            self.parts.append(Thinking(text, signature, WIRE))
        else:
            self.texts.append(text)
            if text:
                self.parts.append(Text(text))
            if signature is not None:
                signed = {} if text else {"text": ""}
                self.parts.append(Opaque.of(WIRE, {**signed, "thoughtSignature": signature}))
        self.is_rich = self.is_rich or signature is not None

    def call(self, call: ToolCall) -> None:
        self.calls.append(call)
        self.parts.append(call)
        self.is_rich = True

    def more(self, part: Mapping[str, object]) -> None:
        self.parts.append(Opaque.of(WIRE, part))
        if any(name in part for name in _RUN_BY_GOOGLE):
            self.run.append(part)
        else:
            self.has_more = True
        self.is_rich = True


def _read(
    candidate: Mapping[str, object],
    data: Mapping[str, object],
    reply: Reply,
    usage: Usage | None,
) -> _Found:
    parts = reading.block(candidate.get("content")).get("parts")
    if type(parts) is not list:
        parts = []
    if len(parts) == 1 and (only := _only_text(parts[0])) is not None:
        return _Found([only], _NONE, _NONE, _NONE, _NONE)
    found = _Found([], [], [], [], [])
    for item in parts:
        part = reading.block(item)
        if type(text := part.get("text")) is str:
            found.text(text, part)
        elif "functionCall" in part:
            call = read_call(part, len(found.calls), data.get("responseId"))
            if call is None:
                why = "a function call in it has no name or no args"
                raise failure.unreadable(reply, why, usage)
            found.call(call)
        elif part:
            _keep(found, part, reply, usage)
    return found


def _only_text(part: object) -> str | None:
    """The text of a part that is nothing else, as in the usual answer."""
    found = part.get("text") if type(part) is dict and len(part) == 1 else None
    return found if type(found) is str else None


def _keep(found: _Found, part: Mapping[str, object], reply: Reply, usage: Usage | None) -> None:
    try:
        found.more(part)
    except TypeError:
        raise failure.unreadable(reply, "a part of it is too deep", usage) from None


def read_call(part: Mapping[str, object], number: int, response_id: object) -> ToolCall | None:
    """The call in a part, by the number that it has in its answer; None: unreadable.

    One without an id gets one, so that a result can name it.
    """
    found = reading.block(part.get("functionCall"))
    made = f"{MADE_ID}{(reading.text(response_id) or '')[:_ID]}-{number}"
    call = reading.tool_call(found.get("id") or made, found.get("name"), found.get("args"))
    signature = reading.text(part.get("thoughtSignature"))
    return call if call is None or signature is None else replace(call, signature=signature)


def _finish(raw: str | None, calls: list[ToolCall]) -> str | None:
    if raw is None:
        return "tool" if calls else None
    finish = _FINISH.get(raw, "other")
    return "tool" if calls and finish == "stop" else finish


def _metadata(
    data: Mapping[str, object],
    candidate: Mapping[str, object],
    raw: str | None,
    run: list[object],
) -> Mapping[str, object]:
    noted: dict[str, object] = {}
    if raw is not None:  # no word of the dialect is one of ours
        noted["finish_reason"] = sys.intern(raw)
    for name, noted_as in _NOTED:
        if value := candidate.get(name):
            noted[noted_as] = value
    if run:
        noted["vendor_calls"] = run
    billed = data.get("usageMetadata")
    if type(billed) is dict and (tier := billed.get("serviceTier") or billed.get("trafficType")):
        noted["service_tier"] = tier
    if status := data.get("modelStatus"):
        noted["model_status"] = status
    return noted or NOTHING


def read_usage(billed: object) -> Usage | None:
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
