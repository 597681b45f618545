"""Tools, and which of them the model is to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

import orjson

from headrace.core.tools import NO_PARAMETERS, Tool, VendorKind
from headrace.wire.anthropic.schema import strict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from headrace.core.context import RequestContext
    from headrace.core.tools import AnyTool
    from headrace.wire.draft import Unsupported

_KINDS: Final = frozenset(get_args(VendorKind))
_CHOICES: Final[dict[str, dict[str, object]]] = {"auto": {"auto": {}}, "required": {"any": {}}}


def add(
    body: dict[str, object],
    context: RequestContext,
    called: Collection[str],
    unsupported: Unsupported,
) -> None:
    """Put the tools into ``body``; ``called`` are those that earlier turns call.

    Bedrock refuses calls among the turns where no tool is declared, and has no choice "none".
    """
    choice = None if context.params is None else context.params.tool_choice
    if choice == "none" and not called:
        return
    declared, own = _declared(context.tools, unsupported)
    if called and not declared:
        unsupported.adapt("tools that earlier turns call are declared by their names alone")
        declared = [_spec(name, orjson.loads(NO_PARAMETERS)) for name in called]
    if own:
        body["additionalModelRequestFields"] = {"tools": own}
    if declared:
        body["toolConfig"] = {"tools": declared}
    if choice == "none":
        said = "earlier turns call tools, which Bedrock then wants declared"
        unsupported.adapt(f'tool_choice "none" is left out: {said}')
    elif choice is not None and declared:
        body["toolConfig"] = {"tools": declared, "toolChoice": _choice(choice)}
    elif choice is not None and own:
        unsupported.adapt("tool_choice is left out: Bedrock has none for tools of a model's own")


def _choice(choice: str) -> dict[str, object]:
    return _CHOICES.get(choice) or {"tool": {"name": choice}}


def _declared(
    tools: Iterable[AnyTool], unsupported: Unsupported
) -> tuple[list[object], list[object]]:
    """What ``toolConfig`` takes, and what goes word for word to the model."""
    declared: list[object] = []
    own: list[object] = []
    for tool in tools:
        if isinstance(tool, Tool):
            schema = strict(tool.parameters) if tool.strict else tool.parameters
            declared.append(_spec(tool.name, schema, tool.description, strict=tool.strict))
        elif "type" in tool.settings:
            own.append(tool.settings)
        elif tool.kind in _KINDS:
            unsupported.adapt(
                f"the tool {tool.kind} is left out: at Bedrock each model has a name of its own for"
                ' it, such as VendorTool("nova_grounding")'
            )
        else:
            declared.append({"systemTool": {"name": tool.kind, **tool.settings}})
    return declared, own


def _spec(
    name: str, schema: dict[str, object], description: str = "", *, strict: bool | None = None
) -> dict[str, object]:
    spec: dict[str, object] = {"name": name}
    if description:
        spec["description"] = description
    spec["inputSchema"] = {"json": schema}
    if strict is not None:
        spec["strict"] = strict
    return {"toolSpec": spec}
