"""Does an answer have the shape that was asked for? Pure, and the same for every API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headrace.core.errors import InvalidOutputError

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.response import APIResponse

_PAUSED: Final = "pause_turn"


def fitted(response: APIResponse[object], context: RequestContext) -> APIResponse[object]:
    """The response with its ``parsed`` value; raises ``InvalidOutputError`` where it does not fit.

    A turn that asks for tools, or that the provider has paused, is no answer yet: it stays as it
    is.
    """
    schema, said = context.output_schema, response.completion or ""
    if schema is None or response.tool_calls or is_paused(response):
        return response
    try:
        return replace(response, parsed=schema.parse(said))
    except Exception as error:  # noqa: BLE001  a validator of the caller's own, over a paid answer
        is_said = isinstance(error, ValueError)
        problem = str(error) if is_said else f"{type(error).__name__}: {error}"
        raise _invalid(response, said, problem) from None


def is_paused(response: APIResponse[object]) -> bool:
    """Does the provider want the turn back to go on with it, as Anthropic's does in long ones?"""
    return response.metadata.get("finish_reason") == _PAUSED


def _invalid(response: APIResponse[object], said: str, problem: str) -> InvalidOutputError:
    remedy = ""
    if response.finish_reason == "length":
        remedy = "it was cut off at its output bound, raise max_tokens: "
        problem = f"it was cut off and has to be shorter ({problem})"
    error = InvalidOutputError(
        f"the answer does not fit the output schema: {remedy}{' '.join(problem.split())[:300]}",
        status=200,
        reply=response.reply,
        usage=response.usage,
    )
    error.said, error.problem = said, problem
    return error
