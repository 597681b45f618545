"""Structured output: natively, as the arguments of a tool that must be called, or as asked for.

Which of them is said by the rows (``structured``); JSON mode goes with an instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.wire import shaped, strict
from headrace.wire.openai_chat import messages

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.wire.draft import Unsupported


def add(
    body: dict[str, object], context: RequestContext, route: Route, unsupported: Unsupported
) -> None:
    """Ask for the shape of the answer."""
    if (wanted := context.output_schema) is None:
        return
    form = route.structured
    if form == "native":
        schema = strict.closed(wanted.schema)
        told = {
            "name": wanted.name,
            "schema": schema or wanted.schema,
            "strict": schema is not None,
        }
        body["response_format"] = {"type": "json_schema", "json_schema": told}
        return
    if (name := shaped.tool_name(context, route)) is not None:
        _add_tool(body, name, wanted.schema)
        return
    if form == "json_object":
        body["response_format"] = {"type": "json_object"}
    way = "its JSON mode and " if form == "json_object" else ""
    unsupported.adapt(
        f"output_schema is asked for by {way}an instruction: {route.endpoint.name} takes no schema"
    )
    messages.instruct(body, shaped.in_words(wanted))


def _add_tool(body: dict[str, object], name: str, schema: dict[str, object]) -> None:
    function = {"name": name, "description": shaped.DESCRIPTION, "parameters": schema}
    given = body.get("tools")
    others = given if type(given) is list else []
    body["tools"] = [*others, {"type": "function", "function": function}]
    only = {"type": "function", "function": {"name": name}}
    asked = body.get("tool_choice")
    if not others or asked == "none":
        body["tool_choice"] = only
    elif type(asked) is not dict:  # a tool that was asked for by name is called first
        body["tool_choice"] = "required"
