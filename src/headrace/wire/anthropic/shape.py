"""Structured output: natively, as the arguments of a tool that must be called, or as asked for.

Which of them is said by the rows (``structured``). A schema that the native form cannot say (keys
of any name, recursion) goes by a tool, whatever the row says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from headrace.wire import shaped
from headrace.wire.anthropic import schema as schemas

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.schema import OutputSchema


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
    if route.structured == "native":
        form = {"type": "json_schema", "schema": _native(wanted)}
        body["output_config"] = {"format": form}
        return None
    before = body.get("system")
    blocks = before if type(before) is list else []
    body["system"] = [*blocks, {"type": "text", "text": shaped.in_words(wanted)}]
    return None


@lru_cache(maxsize=64)
def _native(wanted: OutputSchema) -> dict[str, object] | None:
    """The schema as the native form has it, which is the same for all rows of a run."""
    schema = wanted.schema
    return schemas.strict(schema) if schemas.is_closed(schema) else None


def tool_name(context: RequestContext, route: Route) -> str | None:
    """The tool by which the answer comes; None where it comes as text."""
    wanted = context.output_schema
    if wanted is None:
        return None
    form = route.structured
    if form == "instruct" or (form == "native" and _native(wanted) is not None):
        return None
    return shaped.free_name(wanted, context)


def _tool(name: str, wanted: OutputSchema) -> dict[str, object]:
    return {
        "name": name,
        "description": shaped.DESCRIPTION,
        "input_schema": wanted.schema,
    }
