"""The answer in a reply."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from headrace.core.parts import Opaque, Text
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading, shaped
from headrace.wire.openai_responses import calls
from headrace.wire.reading import count, optional_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.parts import Part, ToolCall
    from headrace.core.reply import Reply

_CUT: Final = {"max_output_tokens": "length", "content_filter": "filtered"}
_NOTED: Final = ("moderation", "prompt_cache_diagnostics", "input_transformations")


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200; its ``completion`` is a text, if an empty one.

    Raises ``ReplyError`` for what is no answer, ``ContentFilterError`` for what was blocked, and
    the error that an error object or the status ``failed`` stands for, each with the reply. Odd
    usage is None. A missing text is an answer where a call, thinking, or the bound on output
    stands in its place.
    """
    data = failure.read_object(reply)
    usage = usage_of(data.get("usage"))
    if data.get("error"):
        raise failure.from_error_object(data, reply, usage)
    status, reason = _ending(data, reply, usage)
    found = _found(data.get("output"), reply, usage)
    if found.calls and context.output_schema is not None:
        found.split(*shaped.split(context, route, None, found.calls))
    refusal = "".join(found.refused) if found.refused else None
    finish = "filtered" if refusal is not None else _finish(status, reason, found.calls)
    is_refused = refusal is not None and context.output_schema is not None  # see ``shaped``
    if is_refused or (not found.said and not found.calls):
        if finish == "filtered":
            raise failure.blocked(reply, refusal or "content_filter", usage)
        if found.is_empty and finish != "length":
            raise failure.unreadable(reply, "its output has no text", usage)
    named = data.get("model")
    return APIResponse(
        completion="".join(found.said),
        thinking="\n\n".join(found.thoughts or found.summary) or None,
        tool_calls=tuple(found.calls),
        content=found.parts() if found.is_rich else (),
        usage=usage,
        cost_nanos=reading.reported_cost(data.get("usage")),
        finish_reason=finish,
        # One string for the whole run, not one for each answer.
        model=sys.intern(named) if type(named) is str and named else route.model.name,
        request_id=reading.request_id(reply.headers, data),
        metadata=_metadata(data, found, reason, refusal),
        logprobs=found.logprobs or None,
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


class _Found:
    """What the items of an output hold, each kind together; ``content`` has all in its order."""

    __slots__ = (
        "annotations",
        "calls",
        "checks",
        "content",
        "has_final",
        "is_empty",
        "is_rich",
        "logprobs",
        "refused",
        "said",
        "summary",
        "thoughts",
        "vendors",
    )

    def __init__(self) -> None:
        self.annotations: list[object] = []
        self.calls: list[ToolCall] = []
        self.checks: list[object] = []
        self.content: list[Part | str] = []
        self.has_final = False
        self.is_empty = True
        self.is_rich = False
        self.logprobs: list[object] = []
        self.refused: list[str] = []
        self.said: list[str] = []
        self.summary: list[str] = []
        self.thoughts: list[str] = []
        self.vendors: list[object] = []

    def parts(self) -> tuple[Part, ...]:
        """All of it, for an answer that is more than text."""
        return tuple(Text(part) if isinstance(part, str) else part for part in self.content)

    def split(self, answer: str | None, calls: Sequence[ToolCall]) -> None:
        """Put an answer that came by a call in the place of what was said beside it."""
        if answer is None:
            return
        self.said, self.calls = [answer], [*calls]
        kept = [part for part in self.content if part in calls or _is_item(part)]
        self.content, self.is_rich = [*kept, answer], bool(kept)

    def take(self, item: dict[str, object]) -> bool:
        """Take one item; False: it is a call that cannot be read."""
        kind = item.get("type")
        if kind == "message":
            self._message(item)
        elif kind == "reasoning":
            self._reasoning(item)
        elif type(kind) is str and (named := calls.KINDS.get(kind)):
            return self._call(item, named)
        elif type(kind) is str:
            self._vendor(item, kind)
        return True

    def _message(self, item: dict[str, object]) -> None:
        told = item.get("content")
        parts = [reading.block(part) for part in told] if type(told) is list else []
        texts: list[str] = []
        for part in parts:
            if type(text := part.get("text")) is str:
                texts.append(text)
            if type(refusal := part.get("refusal")) is str:
                self.refused.append(refusal)
            if type(more := part.get("annotations")) is list and more:
                self.annotations += more
            if type(more := part.get("logprobs")) is list and more:
                self.logprobs += more
        if texts:
            self.is_empty = False
            self._text(texts, reading.text(item.get("phase")))

    def _text(self, texts: list[str], phase: str | None) -> None:
        # What a model says on its way is no answer where it says which part is.
        is_final = phase == "final_answer"
        if is_final and not self.has_final:
            self.said.clear()
            self.has_final = True
        if is_final or not self.has_final:
            self.said += texts
        if phase is not None:
            self.is_rich = True
            self.content.append(Opaque.of(calls.WIRE, {"phase": phase}))
        self.content.append("".join(texts))

    def _reasoning(self, item: dict[str, object]) -> None:
        """Thoughts where the server shows them, and their summary."""
        for where, into in (("content", self.thoughts), ("summary", self.summary)):
            told = item.get(where)
            for part in told if type(told) is list else ():
                if text := reading.text(reading.block(part).get("text")):
                    into.append(text)
        if self.thoughts or self.summary:
            self.is_empty = False
        # Without either, only a server that stored it would know it again.
        if item.get("encrypted_content") or item.get("content"):
            self._keep(item)

    def _call(self, item: dict[str, object], kind: str) -> bool:
        call = calls.read(item, kind)
        if call is None:
            return False
        if type(checks := item.get("pending_safety_checks")) is list:
            self.checks += checks
        self.calls.append(call)
        self.content.append(call)
        self.is_rich = True
        return True

    def _vendor(self, item: dict[str, object], kind: str) -> None:
        """What the provider did by itself, such as a search; or an item that is new."""
        if self._keep(item) and kind != "compaction":
            self.vendors.append(item)
            self.is_empty = False

    def _keep(self, item: dict[str, object]) -> bool:
        try:
            self.content.append(Opaque.of(calls.WIRE, item))
        except TypeError:  # deeper than orjson writes
            return False
        self.is_rich = True
        return True


def _is_item(part: Part | str) -> bool:
    """Is it an item as it came, and no phase of a message whose text is not kept?"""
    return isinstance(part, Opaque) and "type" in part.block


def _found(output: object, reply: Reply, usage: Usage | None) -> _Found:
    if type(output) is not list:
        raise failure.unreadable(reply, "it has no output", usage)
    found = _Found()
    for item in output:
        if not found.take(reading.block(item)):
            msg = "a tool call in it has no name or no arguments"
            raise failure.unreadable(reply, msg, usage)
    return found


def _finish(status: str | None, reason: str | None, called: list[ToolCall]) -> str | None:
    if status == "incomplete":
        return _CUT.get(reason or "", "other")
    if called:
        return "tool"
    return None if status is None else "stop"


def _metadata(
    data: Mapping[str, object], found: _Found, reason: str | None, refusal: str | None
) -> Mapping[str, object]:
    said = {
        "finish_reason": reason,
        "service_tier": reading.text(data.get("service_tier")),
        "refusal": refusal,
        "annotations": found.annotations,
        "vendor_calls": found.vendors,
        "pending_safety_checks": found.checks,
        "tool_usage": used if _counts(used := data.get("tool_usage")) else None,
        **{name: data.get(name) for name in _NOTED},
    }
    noted = {name: value for name, value in said.items() if value}
    return noted or NOTHING


def _counts(used: object) -> bool:
    """Is there any count above zero in it? Tools that were not used have zeros."""
    if type(used) is dict:
        return any(_counts(value) for value in used.values())
    return type(used) is int and used > 0


def usage_of(billed: object) -> Usage | None:
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
