"""The request: what is asked beside the messages, under the names that the endpoint's row has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import RejectedError
from headrace.core.tools import Tool
from headrace.wire import reading, strict
from headrace.wire.draft import Draft, Unsupported, merge
from headrace.wire.openai_chat import messages, shape
from headrace.wire.openai_chat.thinking import switch_thinking
from headrace.wire.turns import note_calls

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Endpoint, Route
    from headrace.core.params import SamplingParams
    from headrace.core.tools import AnyTool, VendorTool

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
    "logprobs",
    "top_logprobs",
    "service_tier",
)
_SELDOM: Final = frozenset(
    {"logprobs", "reasoning_effort", "safety_settings", "thinking_budget", "top_logprobs"}
)
# What ``extra_body`` adds to, and does not replace.
_WITHIN: Final = ("chat_template_kwargs", "reasoning", "stream_options")
_CHOICES: Final = frozenset({"auto", "none", "required"})


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what the dialect cannot carry.
    """
    said = context.conversation.messages
    plain = [
        {"role": m.role, "content": m.content}
        for m in said
        if type(m.content) is str and m.name is None
    ]
    body: dict[str, object] = {"model": route.model.name, "messages": plain}
    if stream:
        body["stream"] = True
        if "stream_options" not in route.endpoint.unsupported:
            body["stream_options"] = {"include_usage": True}
    is_plain = len(plain) == len(said)
    if is_plain and context.params is None and not context.tools and not context.output_schema:
        return Draft(PATH, reading.write(body))
    return _whole(body, context, route, is_plain=is_plain)


def _whole(
    body: dict[str, object], context: RequestContext, route: Route, *, is_plain: bool
) -> Draft:
    """What is asked with more than text messages."""
    params, row, unsupported = context.params, route.endpoint, Unsupported(context.params)
    pattern = None if params is None else params.prompt_caching
    if not is_plain or pattern is not None:
        said = context.conversation.messages
        body["messages"] = messages.write(said, row, pattern, unsupported)
    if params is not None:
        _ask(body, params, row, unsupported)
    if context.tools or (params is not None and params.tool_choice is not None):
        _offer(body, context.tools, params, row, unsupported)
    if pattern is not None and row.cache_marks == "cache_control":
        _mark(body, pattern)
    shape.add(body, context, route, unsupported)
    if params is None:
        return Draft(PATH, reading.write(body), (), unsupported.told())
    merge(body, params.extra_body, within=_WITHIN)
    headers = tuple((params.extra_headers or {}).items())
    return Draft(PATH, reading.write(body), headers, unsupported.told())


def _ask(
    body: dict[str, object], params: SamplingParams, row: Endpoint, unsupported: Unsupported
) -> None:
    if params.max_tokens is not None:
        body[row.max_tokens_field] = params.max_tokens
    given, renames, refused = params.model_fields_set, row.renames, row.unsupported
    for name in _SENT_AS_NAMED:
        if name not in given or (value := getattr(params, name)) is None:
            continue
        if name in refused:
            unsupported.adapt(f"{name} is left out: {row.name} has none")
        else:
            body[renames.get(name, name)] = value
    if not _SELDOM.isdisjoint(given):
        _ask_seldom(body, params, row, unsupported)


def _ask_seldom(
    body: dict[str, object], params: SamplingParams, row: Endpoint, unsupported: Unsupported
) -> None:
    if params.safety_settings:
        unsupported.adapt(f"safety_settings are left out: {row.name} has none")
    if params.reasoning_effort is not None or params.thinking_budget is not None:
        switch_thinking(body, params, row, unsupported)
    if row.renames.get("top_logprobs") != "logprobs":
        if params.logprobs is None and "top_logprobs" in body:  # refused without it
            body["logprobs"] = True
    elif params.logprobs is not None:
        body["logprobs"] = (params.top_logprobs or 1) if params.logprobs else 0


def _offer(
    body: dict[str, object],
    tools: tuple[AnyTool, ...],
    params: SamplingParams | None,
    row: Endpoint,
    unsupported: Unsupported,
) -> None:
    """The tools, and how they are to be chosen: servers refuse the one without the other."""
    if not tools:
        note_calls(params, row.name, unsupported, has_tools=False)
        return
    if "tools" in row.unsupported:
        raise RejectedError(f"{row.name} takes no tools; leave them out, or ask another endpoint")
    made = [
        _function(tool, unsupported)
        if isinstance(tool, Tool)
        else _vendor(body, tool, row, unsupported)
        for tool in tools
    ]
    offered = [tool for tool in made if tool is not None]
    if not offered:
        note_calls(params, row.name, unsupported, has_tools=False)
        return
    body["tools"] = offered
    if params is None:
        return
    asked = {
        "tool_choice": None if params.tool_choice is None else _choice(params.tool_choice, offered),
        "parallel_tool_calls": params.parallel_tool_calls,
    }
    for name, value in asked.items():
        if value is None:
            continue
        if name in row.unsupported:
            unsupported.adapt(f"{name} is left out: {row.name} has none")
        else:
            body[row.renames.get(name, name)] = value


def _function(tool: Tool, unsupported: Unsupported) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    if tool.strict:
        schema = strict.closed(tool.parameters)
        if schema is None:
            said = f"the tool {tool.name} is sent without strict, which cannot say its schema"
            unsupported.adapt(said)
        function |= {"parameters": schema or tool.parameters, "strict": schema is not None}
    return {"type": "function", "function": function}


def _vendor(
    body: dict[str, object], tool: VendorTool, row: Endpoint, unsupported: Unsupported
) -> dict[str, object] | None:
    """A tool of the vendor's: an object among the tools, or a field of the request."""
    settings = tool.settings
    if "type" in settings:
        return settings
    if tool.kind in row.vendor_tools:
        return {"type": row.vendor_tools[tool.kind], **settings}
    if tool.kind in row.vendor_fields:
        body[row.vendor_fields[tool.kind]] = settings
    else:
        unsupported.adapt(f"the tool {tool.kind} is left out: {row.name} has none of this kind")
    return None


def _choice(choice: str, offered: list[dict[str, object]]) -> object:
    if choice in _CHOICES:
        return choice
    for tool in offered:
        if reading.block(tool.get("custom")).get("name") == choice:
            return {"type": "custom", "custom": {"name": choice}}
    return {"type": "function", "function": {"name": choice}}


def _mark(body: dict[str, object], pattern: str) -> None:
    """Marks that stand outside the messages: the server's own choice, and tools with no system."""
    tools, first = body.get("tools"), reading.block(messages.first(body))
    if pattern == "automatic":
        body["cache_control"] = dict(messages.EPHEMERAL)
    elif pattern == "system_and_tools" and first.get("role") != "system" and type(tools) is list:
        tools[-1] = {**tools[-1], "cache_control": dict(messages.EPHEMERAL)}
