"""An answer of a given shape where an API has no form for it: by a tool's arguments, or in words.

The root of every schema is an object (``core/schema.py`` sees to that), as a tool's arguments are.

Where the answer comes by its tool, what is said beside it is no part of it: neither its text nor
the chunks of a stream have that. So no fold gives text as text while such a call may yet come;
where none has come, what was said is the answer, and is given in one chunk at the end
(``providers/base.py``). A refusal beside such a call is a refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.tools import Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.parts import ToolCall
    from headrace.core.schema import OutputSchema
    from headrace.core.tools import AnyTool

DESCRIPTION: Final = "Gives the answer. Call it once, with the whole answer."
# Room below the 64 characters of APIs for what tells it from other tools.
_LONGEST: Final = 60


def free_name(wanted: OutputSchema, context: RequestContext) -> str:
    """A name for the tool by which the answer comes, which no other tool has."""
    taken = {_name_of(tool) for tool in context.tools}
    name = wanted.name[:_LONGEST]
    while name in taken:
        name += "_"
    return name


def _name_of(tool: AnyTool) -> object:
    return tool.name if isinstance(tool, Tool) else tool.settings.get("name")


def tool_name(context: RequestContext, route: Route) -> str | None:
    """The tool by which the answer comes, where the rows say so; None where it comes as text."""
    wanted = context.output_schema
    return None if wanted is None or route.structured != "tool" else free_name(wanted, context)


def split(
    context: RequestContext, route: Route, said: str | None, calls: Sequence[ToolCall]
) -> tuple[str | None, tuple[ToolCall, ...]]:
    """The answer, in the place of what was said where it came by its tool, and the other calls.

    Some models give it several times; the first is it.
    """
    name = tool_name(context, route)
    given = [call for call in calls if call.name == name and call.kind == "function"]
    others = tuple(call for call in calls if call not in given)
    return (given[0].arguments if given else said), others


def in_words(wanted: OutputSchema) -> str:
    """What asks a model for it."""
    return (
        "Answer with one JSON value and nothing else. It must be valid against this JSON schema:"
        f"\n{wanted.json}"
    )
