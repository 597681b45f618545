"""What codecs share whose APIs take neither files, tools of their own, nor images in a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import RejectedError
from headrace.core.media import File, Image
from headrace.core.parts import CacheBreakpoint, Text, ToolCall, ToolResult
from headrace.core.tools import Tool
from headrace.wire.checks import names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.conversation import Message
    from headrace.core.params import SamplingParams
    from headrace.core.parts import Part
    from headrace.core.tools import AnyTool
    from headrace.wire.draft import Unsupported

_READABLE: Final = ("text/", "application/json")


def only_text(message: Message) -> str:
    """What a system message says; raises ``RejectedError`` where it holds media."""
    if not all(isinstance(part, Text | CacheBreakpoint) for part in message.parts):
        msg = "a system message holds more than text; put it into a message of the user"
        raise RejectedError(msg)
    return message.text


def is_text(file: File) -> bool:
    """Can its bytes be sent as text?"""
    return file.data is not None and (file.media_type or "").startswith(_READABLE)


def words_of(file: File, who: str) -> str:
    """What a text file says; raises ``RejectedError`` for every other file."""
    if file.data is None or not is_text(file):
        msg = f"{who} takes no files but texts; send the text of this one, or its pages as images"
        raise RejectedError(msg)
    return text_in(file.data, file.media_type, who)


def text_in(data: bytes, kind: str | None, who: str) -> str:
    """The text that ``data`` is; raises ``RejectedError`` where it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        msg = f"a file of type {kind} is not UTF-8, which {who} wants; convert it"
        raise RejectedError(msg) from None


def text_of_file(file: File, who: str, gaps: Unsupported) -> str:
    """A text file as text, for an API that takes no files."""
    said = words_of(file, who)
    gaps.adapt(f"a text file is sent as text: {who} takes no text files")
    return f"{file.name}:\n{said}" if file.name else said


def refuse_part(part: Part, role: str, who: str) -> RejectedError:
    """What to raise for a part that no adaptation can express."""
    kind = type(part).__name__
    return RejectedError(f"{who} takes no {kind} in a message of role {role}; leave it out")


def results_and_rest(
    message: Message, who: str, gaps: Unsupported
) -> tuple[list[ToolResult], list[Part]]:
    """The results in a turn, and what is to follow them as a turn of the user."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    images = [part for result in results for part in result.media if isinstance(part, Image)]
    if images:
        gaps.adapt(
            "an image in a tool result is sent in a message of the user after it:"
            f" {who} takes none in results"
        )
    rest = [part for part in message.parts if not isinstance(part, ToolResult)]
    return results, [*images, *rest]


def text_of_result(result: ToolResult, who: str, gaps: Unsupported) -> str:
    """All of a result that is text; a failure says so, since the API has no mark for it."""
    if isinstance(result.content, str):
        said = result.content
    else:
        files = (p for p in result.content if isinstance(p, Text | File))
        said = "\n".join(
            p.text if isinstance(p, Text) else text_of_file(p, who, gaps) for p in files
        )
    if not result.is_error:
        return said
    gaps.adapt(f'a failed tool result begins with "Error: ": {who} has no mark for failures')
    return f"Error: {said}"


def names_of_calls(messages: Sequence[Message]) -> dict[str, str]:
    """The names of the tools that were called, by the ids of the calls."""
    parts = (part for message in messages for part in message.parts)
    return {part.id: part.name for part in parts if isinstance(part, ToolCall)}


def function_tools(
    tools: Sequence[AnyTool], params: SamplingParams | None, who: str, gaps: Unsupported
) -> list[object]:
    """The tools in OpenAI's form; where ``tool_choice`` names one of them, that one alone."""
    chosen = None if params is None else params.tool_choice
    if chosen not in {None, "auto", "none", "required"}:
        named = [tool for tool in tools if chosen in names_of(tool)]
        if len(tools) > 1:
            gaps.adapt(f"tool_choice={chosen!r}: no other tool is sent, as {who} knows no names")
        tools = named
    return [row for tool in tools if (row := _row(tool, who, gaps)) is not None]


def _row(tool: AnyTool, who: str, gaps: Unsupported) -> dict[str, object] | None:
    if isinstance(tool, Tool):
        said = {"description": tool.description} if tool.description else {}
        function = {"name": tool.name, **said, "parameters": tool.parameters}
        return {"type": "function", "function": function}
    if "type" in tool.settings:
        return tool.settings
    gaps.adapt(f"the tool {tool.kind} is left out: {who} has none of its own")
    return None


def note_calls(
    params: SamplingParams | None, who: str, gaps: Unsupported, *, has_tools: bool
) -> None:
    """Say what is not carried of how tools are to be called, or that there are none."""
    if params is None:
        return
    if has_tools and params.parallel_tool_calls is False:
        gaps.adapt(f"parallel_tool_calls=False is left out: {who} may ask for several at once")
    if not has_tools and params.tool_choice not in {None, "auto", "none"}:
        gaps.adapt("tool_choice is left out: there are no tools to choose from")
