"""Answers of a given shape, by what Anthropic's codec says of it: Bedrock's rules are the same.

Natively, as the arguments of a tool that must be called, or as asked for in words; the rows say
which (``structured``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from headrace.wire.anthropic import shape

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route


def add(body: dict[str, Any], context: RequestContext, route: Route) -> None:
    """Ask for the shape of the answer, if one is wanted."""
    asked: dict[str, Any] = {}
    if (name := shape.add(asked, context, route)) is not None:
        _add_tool(body, name, asked["tools"][-1])
    elif "output_config" in asked:
        wanted = context.output_schema
        definition = {
            "name": "answer" if wanted is None else wanted.name,
            # Bedrock wants the schema as text.
            "schema": orjson.dumps(asked["output_config"]["format"]["schema"]).decode(),
        }
        form = {"type": "json_schema", "structure": {"jsonSchema": definition}}
        body["outputConfig"] = {"textFormat": form}
    else:
        said = [{"text": block["text"]} for block in asked.get("system", [])]
        body["system"] = [*body.get("system", []), *said]


def _add_tool(body: dict[str, Any], name: str, tool: dict[str, Any]) -> None:
    spec = {
        "name": name,
        "description": tool["description"],
        "inputSchema": {"json": tool["input_schema"]},
    }
    others = body.get("toolConfig", {}).get("tools", [])
    choice: dict[str, object] = {"any": {}} if others else {"tool": {"name": name}}
    body["toolConfig"] = {"tools": [*others, {"toolSpec": spec}], "toolChoice": choice}
