"""Structured output: natively, as the arguments of a tool that must be called, or as asked for.

Which of them is said by the rows (``structured``); JSON mode goes with an instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.wire import shaped, strict

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.schema import OutputSchema
    from headrace.wire.draft import Unsupported

    Body = dict[str, object]


def add(
    body: Body, sent: list[Body], context: RequestContext, route: Route, unsupported: Unsupported
) -> None:
    """Ask for the shape of the answer; ``sent`` is the input."""
    if (wanted := context.output_schema) is None:
        return
    form = route.structured
    if form == "native":
        body["text"] = {"format": _native(wanted)}
    elif (name := shaped.tool_name(context, route)) is not None:
        _add_tool(body, name, wanted)
    else:
        if form == "json_object":
            body["text"] = {"format": {"type": form}}
        way = "its JSON mode and " if form == "json_object" else ""
        row = route.endpoint.name
        unsupported.adapt(f"output_schema is asked for by {way}an instruction: {row} takes none")
        _instruct(sent, shaped.in_words(wanted))


def _instruct(sent: list[Body], instruction: str) -> None:
    """Add it to the first message if that is a text of the system, else before it."""
    first = sent[0] if sent else {}
    if first.get("role") == "system" and type(text := first.get("content")) is str:
        sent[0] = {**first, "content": f"{text}\n\n{instruction}"}
    else:
        sent.insert(0, {"role": "system", "content": instruction})


def _native(wanted: OutputSchema) -> Body:
    closed = strict.closed(wanted.schema)
    return {
        "type": "json_schema",
        "name": wanted.name,
        "schema": closed or wanted.schema,
        "strict": closed is not None,
    }


def _add_tool(body: Body, name: str, wanted: OutputSchema) -> None:
    given = body.get("tools")
    others = given if type(given) is list else []
    function = {"name": name, "description": shaped.DESCRIPTION, "parameters": wanted.schema}
    body["tools"] = [*others, {"type": "function", **function, "strict": False}]
    asked, own = body.get("tool_choice"), {"type": "function", "name": name}
    if not others or asked == "none":
        body["tool_choice"] = own
    elif type(asked) is dict and type(allowed := asked.get("tools")) is list:
        # A hosted tool runs within the same answer, which still has to come.
        body["tool_choice"] = {**asked, "mode": "required", "tools": [*allowed, own]}
    elif type(asked) is not dict:  # a tool that was asked for by name is called first
        body["tool_choice"] = "required"
