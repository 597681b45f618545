"""Structured output: natively, as the arguments of a tool that must be called, or as asked for.

Which of them is said by the rows (``structured``); JSON mode goes with an instruction.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.tools import Tool
from headrace.wire import reading, strict
from headrace.wire.openai_chat import messages

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.parts import ToolCall
    from headrace.wire.draft import Unsupported

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME: Final = 60
_VALUE: Final = "value"


def add(
    body: dict[str, object], context: RequestContext, route: Route, unsupported: Unsupported
) -> None:
    """Ask for the shape of the answer."""
    if (wanted := context.output_schema) is None:
        return
    form = _form(route)
    if form == "native":
        schema = strict.closed(wanted.schema)
        told = {
            "name": _safe(wanted.name),
            "schema": schema or wanted.schema,
            "strict": schema is not None,
        }
        body["response_format"] = {"type": "json_schema", "json_schema": told}
        return
    if (name := tool_name(context, route)) is not None:
        _add_tool(body, name, wanted.schema)
        return
    if form == "json_object":
        body["response_format"] = {"type": "json_object"}
    way = "its JSON mode and " if form == "json_object" else ""
    unsupported.adapt(
        f"output_schema is asked for by {way}an instruction: {route.endpoint.name} takes no schema"
    )
    messages.instruct(
        body,
        "Answer with one JSON value and nothing else. It must be valid against this JSON schema:"
        f"\n{wanted.json}",
    )


def tool_name(context: RequestContext, route: Route) -> str | None:
    """The tool by which the answer comes; None where it comes as text."""
    wanted = context.output_schema
    if wanted is None or _form(route) != "tool":
        return None
    taken = {tool.name for tool in context.tools if isinstance(tool, Tool)}
    name = _safe(wanted.name)
    while name in taken:
        name += "_"
    return name


def is_plain(context: RequestContext) -> bool:
    """Are the arguments of that tool the answer as they stand?"""
    wanted = context.output_schema
    return wanted is not None and not _is_wrapped(wanted.schema)


def answer(context: RequestContext, call: ToolCall) -> str:
    """The answer that stands in the arguments of that tool."""
    given = None if is_plain(context) else reading.load(call.arguments.encode())
    if given is None or _VALUE not in given:
        return call.arguments
    try:
        return orjson.dumps(given[_VALUE]).decode()
    except TypeError:  # deeper than orjson writes
        return call.arguments


def _form(route: Route) -> str:
    return route.model.structured or route.endpoint.structured


def _safe(name: str) -> str:
    return _NO_NAME.sub("_", name)[:_LONGEST_NAME] or "answer"


def _is_wrapped(schema: dict[str, object]) -> bool:
    """The arguments of a tool are an object; what is none stands in one."""
    return strict.unfolded(schema).get("type") != "object"


def _add_tool(body: dict[str, object], name: str, schema: dict[str, object]) -> None:
    if _is_wrapped(schema):
        named: dict[str, object] = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
        schema = {"type": "object", "properties": {_VALUE: schema}, "required": [_VALUE], **named}
    function = {
        "name": name,
        "description": "Gives the answer. Call it once, with the whole answer.",
        "parameters": strict.unfolded(schema),
    }
    given = body.get("tools")
    others = given if type(given) is list else []
    body["tools"] = [*others, {"type": "function", "function": function}]
    only = {"type": "function", "function": {"name": name}}
    asked = body.get("tool_choice")
    if not others or asked == "none":
        body["tool_choice"] = only
    elif type(asked) is not dict:  # a tool that was asked for by name is called first
        body["tool_choice"] = "required"
