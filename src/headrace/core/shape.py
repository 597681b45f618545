"""Does an answer have the shape that was asked for? Pure, and the same for every API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headrace.core.errors import ContentFilterError, CutOffError, InvalidOutputError

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.response import APIResponse

_OK: Final = 200
_PAUSED: Final = "pause_turn"
_CUT_OFF: Final = (
    "it was cut off at the bound on its output, and would be again; raise max_tokens (where none is"
    " given, the max_output_tokens of the model's row), or ask for less: "
)


def fitted(response: APIResponse[object], context: RequestContext) -> APIResponse[object]:
    """The response with its ``parsed`` value; raises ``InvalidOutputError`` where it does not fit.

    What a filter has cut off is a ``ContentFilterError``, and what the bound on its output has, a
    ``CutOffError``: neither would come whole if it were asked again. A turn that asks for tools, or
    that the provider has paused, is no answer yet: it stays as it is.
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


def _invalid(
    response: APIResponse[object], said: str, problem: str
) -> InvalidOutputError | ContentFilterError:
    reply, usage = response.reply, response.usage
    if response.finish_reason == "filtered":
        msg = "the provider's filter cut the answer off before it fitted; change the prompt"
        return ContentFilterError(msg, status=_OK, reply=reply, usage=usage)
    is_cut = response.finish_reason == "length"
    msg = f"{_CUT_OFF if is_cut else ''}{' '.join(problem.split())[:300]}"
    kind = CutOffError if is_cut else InvalidOutputError
    error = kind(
        f"the answer does not fit the output schema: {msg}", status=_OK, reply=reply, usage=usage
    )
    error.said, error.problem = said, problem
    return error
