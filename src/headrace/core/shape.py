"""Does an answer have the shape that was asked for? Pure, and the same for every API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.core.errors import InvalidOutputError

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.response import APIResponse


def fitted(response: APIResponse[object], context: RequestContext) -> APIResponse[object]:
    """The response with its ``parsed`` value; raises ``InvalidOutputError`` where it does not fit.

    An answer that asks for tools is no answer yet, and stays as it is.
    """
    schema, said = context.output_schema, response.completion or ""
    if schema is None or (response.tool_calls and not said):
        return response
    try:
        return replace(response, parsed=schema.parse(said))
    except ValueError as error:
        raise _invalid(response, said, str(error)) from None


def _invalid(response: APIResponse[object], said: str, problem: str) -> InvalidOutputError:
    if response.finish_reason == "length":
        problem = f"it was cut off at its output bound, raise max_tokens ({problem})"
    error = InvalidOutputError(
        f"the answer does not fit the output schema: {' '.join(problem.split())[:300]}",
        status=200,
        reply=response.reply,
        usage=response.usage,
    )
    error.said, error.problem = said, problem
    return error
