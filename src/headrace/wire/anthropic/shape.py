"""Structured output: natively, as the arguments of a tool that must be called, or as asked for.

Which of them is said by the rows (``structured``). A schema that the native form cannot say (keys
of any name, recursion) goes by a tool, whatever the row says.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.tools import Tool
from headrace.wire import reading
from headrace.wire.anthropic import schema as schemas

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.schema import OutputSchema

_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]")
_VALUE: Final = "value"


def add(body: dict[str, object], context: RequestContext, route: Route) -> str | None:
    """Ask for the shape of the answer; returns the name of the tool that gives it, if one does."""
    wanted = context.output_schema
    if wanted is None:
        return None
    if (name := tool_name(context, route)) is not None:
        given = body.get("tools")
        tools = given if type(given) is list else []
        body["tools"] = [*tools, _tool(name, wanted)]
        body["tool_choice"] = (
            {"type": "any"}
            if tools
            else {"type": "tool", "name": name, "disable_parallel_tool_use": True}
        )
        return name
    if _form(route) == "native":
        form = {"type": "json_schema", "schema": _native(wanted)}
        body["output_config"] = {"format": form}
        return None
    said = (
        "Answer with one JSON value and nothing else. It must be valid against this JSON schema:"
        f"\n{wanted.json}"
    )
    before = body.get("system")
    blocks = before if type(before) is list else []
    body["system"] = [*blocks, {"type": "text", "text": said}]
    return None


@lru_cache(maxsize=64)
def _native(wanted: OutputSchema) -> dict[str, object] | None:
    """The schema as the native form has it, which is the same for all rows of a run."""
    schema = wanted.schema
    return schemas.strict(schema) if schemas.is_closed(schema) else None


def _form(route: Route) -> str:
    return route.model.structured or route.endpoint.structured


def tool_name(context: RequestContext, route: Route) -> str | None:
    """The tool by which the answer comes; None where it comes as text."""
    wanted = context.output_schema
    if wanted is None:
        return None
    form = _form(route)
    if form == "instruct" or (form == "native" and _native(wanted) is not None):
        return None
    taken = {tool.name for tool in context.tools if isinstance(tool, Tool)}
    name = _NOT_IN_NAMES.sub("_", wanted.name)[:60] or "answer"
    while name in taken:
        name += "_"
    return name


def _tool(name: str, wanted: OutputSchema) -> dict[str, object]:
    return {
        "name": name,
        "description": "Gives the answer. Call it once, with the whole answer.",
        "input_schema": _wrapped(wanted.schema),
    }


def _is_wrapped(schema: dict[str, object]) -> bool:
    """The arguments of a tool are an object; what is none stands in one."""
    return schema.get("type") != "object"


def _wrapped(schema: dict[str, object]) -> dict[str, object]:
    if not _is_wrapped(schema):
        return schema
    named: dict[str, object] = {
        word: schema.pop(word) for word in ("$defs", "definitions") if word in schema
    }
    return {"type": "object", "properties": {_VALUE: schema}, "required": [_VALUE], **named}


def is_plain(wanted: OutputSchema) -> bool:
    """Are the arguments of the tool the answer as they stand?"""
    return not _is_wrapped(wanted.schema)


def answer(wanted: OutputSchema, arguments: str) -> str:
    """The answer that stands in the arguments of the tool."""
    if is_plain(wanted):
        return arguments
    given = reading.load(arguments.encode())
    if given is None or _VALUE not in given:
        return arguments
    return orjson.dumps(given[_VALUE]).decode()
