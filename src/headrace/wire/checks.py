"""What no API takes whole, looked at before any codec writes it: choices and calls of tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.conversation import Conversation
from headrace.core.errors import RejectedError
from headrace.core.parts import ToolCall, ToolResult
from headrace.core.spelling import meant
from headrace.core.tools import Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.core.model import Route
    from headrace.core.tools import AnyTool

_MODES: Final = frozenset({"auto", "none", "required"})


def check(context: RequestContext, route: Route) -> None:
    """Raise ``RejectedError`` where a tool is chosen or called that leads nowhere."""
    # First, as it is for every request: a single message without tools has no such thing.
    prompt, tools = context.prompt, context.tools
    is_single = type(prompt) is Conversation and len(prompt.messages) == 1
    if not tools and (is_single or type(prompt) is str):
        return
    if tools and context.params is not None:
        _check_choice(context.params.tool_choice, tools)
    messages = context.conversation.messages
    # Servers of one's own mostly put all into one text, and refuse nothing.
    if len(messages) > 1 and not route.endpoint.lenient:
        _check_answered(messages)


def names_of(tool: AnyTool) -> set[object]:
    """What ``tool_choice`` may call a tool."""
    if isinstance(tool, Tool):
        return {tool.name}
    settings = tool.settings
    return {tool.kind, settings.get("type"), settings.get("name")} - {None}


def _check_choice(choice: str | None, tools: Iterable[AnyTool]) -> None:
    if choice is None or choice in _MODES:
        return
    names = {str(name) for tool in tools for name in names_of(tool)}
    if choice not in names:
        msg = f"tool_choice names {choice!r:.80}, which is none of the tools"
        raise RejectedError(f"{msg}{meant(choice, names)}")


def _check_answered(messages: Sequence[Message]) -> None:
    """A call is answered before the user's next turn, or never."""
    waiting: dict[str, str] = {}
    for message in messages:
        if type(message.content) is not str:
            for part in message.content:
                if isinstance(part, ToolCall) and part.id:
                    waiting[part.id] = part.name
                elif isinstance(part, ToolResult):
                    waiting.pop(part.id, None)
        if waiting and message.role == "user":
            identity, name = next(iter(waiting.items()))
            msg = (
                f"the call {identity!r:.80} of the tool {name} has no result before the user's next"
                " turn; add it with Message.tool, or leave the call out"
            )
            raise RejectedError(msg)
