"""Tools, and which of them the model has to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.tools import Tool
from headrace.wire import strict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.core.tools import AnyTool, VendorTool
    from headrace.wire.draft import Unsupported

_TYPES: Final[dict[str, dict[str, object]]] = {
    "web_search": {"type": "web_search"},
    "code_execution": {"type": "code_interpreter", "container": {"type": "auto"}},
    "file_search": {"type": "file_search"},
    "computer_use": {"type": "computer"},
}
# Kinds of the API itself, which no other API has.
_OWN: Final = frozenset(
    {
        "apply_patch",
        "custom",
        "image_generation",
        "local_shell",
        "mcp",
        "namespace",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
    }
)
_MODES: Final = frozenset({"auto", "none", "required"})


def written(tools: Sequence[AnyTool], unsupported: Unsupported) -> list[dict[str, object]]:
    """All tools as the API has them."""
    return [row for tool in tools for row in _rows(tool, unsupported)]


def _rows(tool: AnyTool, unsupported: Unsupported) -> Iterator[dict[str, object]]:
    if isinstance(tool, Tool):
        yield _function(tool, unsupported)
    elif (row := _hosted(tool)) is not None:
        yield row
    else:
        unsupported.adapt(f"the tool {tool.kind} is left out: OpenAI Responses has none")


def _function(tool: Tool, unsupported: Unsupported) -> dict[str, object]:
    """Not strict unless that is asked for: the API's own default would refuse many schemas."""
    parameters = strict.closed(tool.parameters) if tool.strict else None
    if tool.strict and parameters is None:
        unsupported.adapt(
            f"the tool {tool.name} is sent without strict, which cannot say its schema"
        )
    return {
        "type": "function",
        "name": tool.name,
        **({"description": tool.description} if tool.description else {}),
        "parameters": parameters or tool.parameters,
        "strict": parameters is not None,
    }


def _hosted(tool: VendorTool) -> dict[str, object] | None:
    settings = tool.settings
    if "type" in settings:
        return settings
    if tool.kind == "computer_use" and settings:  # the newer tool has no settings
        return {"type": "computer_use_preview", **settings}
    if tool.kind in _OWN:
        return {"type": tool.kind, **settings}
    row = _TYPES.get(tool.kind)
    return None if row is None else {**row, **settings}


def choice(
    asked: str, tools: Sequence[AnyTool], unsupported: Unsupported
) -> str | dict[str, object] | None:
    """``tool_choice``: a mode, a function or custom tool, or the only hosted tool allowed."""
    if asked in _MODES:
        return asked
    for tool in tools:
        if isinstance(tool, Tool):
            continue
        row = _hosted(tool) or {}
        if row.get("type") == "custom" and asked == row.get("name"):
            return {"type": "custom", "name": asked}
        if asked in {tool.kind, row.get("type")}:
            return _only(row, asked, unsupported)
    return {"type": "function", "name": asked}


def _only(row: dict[str, object], asked: str, unsupported: Unsupported) -> dict[str, object] | None:
    if not row:
        unsupported.adapt(f"tool_choice is left out: OpenAI Responses has no tool {asked}")
        return None
    named = {name: row[name] for name in ("type", "server_label", "name") if name in row}
    return {"type": "allowed_tools", "mode": "required", "tools": [named]}
