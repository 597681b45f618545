"""Tools and the choice among them. Anthropic's own tools are named by type and date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.tools import Tool, VendorTool
from headrace.wire.anthropic import schema

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.params import SamplingParams
    from headrace.wire.draft import Unsupported

# By what they do; the newest of each family that needs no beta. Toolsets have no name.
_KINDS: Final[dict[str, dict[str, object]]] = {
    "web_search": {"type": "web_search_20260318", "name": "web_search"},
    "web_fetch": {"type": "web_fetch_20260318", "name": "web_fetch"},
    "code_execution": {"type": "code_execution_20260521", "name": "code_execution"},
    "computer_use": {"type": "computer_toolset_20260801"},
    "browser_use": {"type": "browser_toolset_20260801"},
    "bash": {"type": "bash_20250124", "name": "bash"},
    "text_editor": {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    "memory": {"type": "memory_20250818", "name": "memory"},
}
# What only a beta takes, by the beginning of its type.
_BETAS: Final = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "bash_20241022": "computer-use-2024-10-22",
    "text_editor_20241022": "computer-use-2024-10-22",
    "advisor_20260301": "advisor-tool-2026-03-01",
    "mcp_toolset": "mcp-client-2025-11-20",
}


def add(
    body: dict[str, object], context: RequestContext, unsupported: Unsupported
) -> tuple[str, ...]:
    """Put the tools into ``body``; returns the betas that they need."""
    if not context.tools:
        return ()
    made = (_made(tool, unsupported) for tool in context.tools)
    found = [tool for tool in made if tool is not None]
    if found:
        body["tools"] = found
    return tuple(
        _BETAS[kind] for kind in (str(tool.get("type")) for tool in found) if kind in _BETAS
    )


def _made(tool: Tool | VendorTool, unsupported: Unsupported) -> dict[str, object] | None:
    if isinstance(tool, VendorTool):
        return _vendor(tool, unsupported)
    found: dict[str, object] = {
        "name": tool.name,
        "input_schema": schema.of_object(tool.parameters),
    }
    if tool.description:
        found["description"] = tool.description
    if tool.strict is None:
        return found
    is_strict = tool.strict and schema.is_closed(schema.of_object(tool.parameters))
    if is_strict:
        found["input_schema"] = schema.strict(schema.of_object(tool.parameters))
    elif tool.strict:
        unsupported.adapt(
            f"the tool {tool.name} is sent without strict, which cannot say its schema"
        )
    return {**found, "strict": is_strict}


def _vendor(tool: VendorTool, unsupported: Unsupported) -> dict[str, object] | None:
    settings = tool.settings
    if "type" in settings:
        return settings
    if tool.kind in _KINDS:
        return {**_KINDS[tool.kind], **settings}
    unsupported.adapt(f"the tool {tool.kind} is left out: Anthropic has none")
    return None


def choose(
    body: dict[str, object],
    params: SamplingParams,
    unsupported: Unsupported,
    *,
    thinks: bool,
    answer: str | None,
) -> None:
    """Put the choice among the tools into ``body``.

    ``answer`` is the tool by which the model is to give its answer, if it gives it by one.
    """
    wanted = params.tool_choice
    if "tools" not in body:
        if wanted not in {None, "auto", "none"}:
            unsupported.adapt(f"tool_choice {wanted!r:.80} is left out: there are no tools")
        return
    if answer is not None and wanted in {None, "auto", "required", "none"}:
        if wanted == "none":
            body["tool_choice"] = {"type": "tool", "name": answer}
        return
    if thinks and wanted not in {None, "auto", "none"}:
        unsupported.adapt(
            f"tool_choice {wanted!r:.80} is sent as 'auto': a forced call goes without thinking"
        )
        wanted = "auto"
    alone = params.parallel_tool_calls is False and wanted != "none"
    if wanted is None and not alone:
        return
    choice: dict[str, object] = _choice(wanted or "auto")
    body["tool_choice"] = {**choice, "disable_parallel_tool_use": True} if alone else choice


def _choice(wanted: str) -> dict[str, object]:
    if wanted in {"auto", "none"}:
        return {"type": wanted}
    return {"type": "any"} if wanted == "required" else {"type": "tool", "name": wanted}
