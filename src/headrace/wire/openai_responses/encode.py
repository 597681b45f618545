"""The request body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.wire import reading
from headrace.wire.draft import Draft, Unsupported, merge
from headrace.wire.openai_responses import shape, tools
from headrace.wire.openai_responses.items import items
from headrace.wire.turns import note_calls

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.wire.draft import Headers

    Body = dict[str, object]

PATH: Final = "/responses"

_SENT_AS: Final = (
    ("max_tokens", "max_output_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("service_tier", "service_tier"),
)
_NOT_CARRIED: Final = (
    "top_k",
    "min_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "safety_settings",
)
# The least tokens of thinking that stand for an effort.
_EFFORTS: Final = ((10_000, "high"), (5_000, "medium"), (1, "low"), (0, "none"))
_MOST_LOGPROBS: Final = 20
_REASONING: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"
# What hosted tools found is not in an answer by itself.
_RESULTS: Final = {
    "web_search": "web_search_call.action.sources",
    "file_search": "file_search_call.results",
    "code_interpreter": "code_interpreter_call.outputs",
}


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what the dialect cannot carry.
    """
    params, messages = context.params, context.conversation.messages
    unsupported = Unsupported(params)
    unsupported.unnamed(messages, "OpenAI Responses")
    sent = items(messages, unsupported)
    body: Body = {"model": route.model.name, "input": sent, "store": False}
    if stream:
        body["stream"] = True
    wanted: list[str] = []
    if context.tools and (rows := tools.written(context.tools, unsupported)):
        body["tools"] = rows
        found = dict.fromkeys(_RESULTS.get(str(row["type"])) for row in rows)
        wanted += filter(None, found)
    is_plain = len(messages) == 1 and not wanted and context.output_schema is None
    if params is None and is_plain:  # nothing was thought before
        return Draft(PATH, reading.write(body), (), unsupported.told())
    headers: Headers = ()
    if params is not None:
        _params(body, params, context, unsupported)
        headers = tuple((params.extra_headers or {}).items())
    shape.add(body, sent, context, route, unsupported)
    _include(body, wanted, sent, params)
    extra = None if params is None else params.extra_body
    merge(body, extra, within=("text", "reasoning"))
    return Draft(PATH, reading.write(body), headers, unsupported.told())


def _params(
    body: Body, params: SamplingParams, context: RequestContext, unsupported: Unsupported
) -> None:
    unsupported.drop(params, _NOT_CARRIED, "OpenAI Responses")
    for name, sent_as in _SENT_AS:
        if (value := getattr(params, name)) is not None:
            body[sent_as] = value
    if "tools" not in body:
        note_calls(params, "OpenAI Responses", unsupported, has_tools=False)
    elif (asked := params.tool_choice) is not None:
        choice = tools.choice(asked, context.tools, unsupported)
        body |= {} if choice is None else {"tool_choice": choice}
    if (effort := _effort(params, unsupported)) is not None:
        body["reasoning"] = {"effort": effort}
    if (most := params.top_logprobs) is not None:
        if most > _MOST_LOGPROBS:
            unsupported.adapt(f"top_logprobs is sent as {_MOST_LOGPROBS}, the most there is")
        body["top_logprobs"] = min(most, _MOST_LOGPROBS)


def _effort(params: SamplingParams, unsupported: Unsupported) -> str | None:
    budget, effort = params.thinking_budget, params.reasoning_effort
    if budget is None:
        return effort
    if effort is not None:
        unsupported.adapt("thinking_budget is left out: reasoning_effort says it")
        return effort
    stands_for = next(word for least, word in _EFFORTS if budget >= least)
    unsupported.adapt(
        f'thinking_budget is sent as effort "{stands_for}": OpenAI Responses has no budget'
    )
    return stands_for


def _include(
    body: Body, wanted: list[str], sent: list[Body], params: SamplingParams | None
) -> None:
    """What the answer shall hold beside itself.

    Encrypted reasoning comes by itself today; it is asked for where a model surely reasons, since
    the others refuse a request that asks for it.
    """
    if params is not None and (params.logprobs or params.top_logprobs is not None):
        wanted.append(_LOGPROBS)
    if _reasons(body, params) or any("encrypted_content" in item for item in sent):
        wanted.append(_REASONING)
    if wanted:
        body["include"] = wanted


def _reasons(body: Body, params: SamplingParams | None) -> bool:
    if params is None:
        return False
    asked = reading.block(body.get("reasoning", (params.extra_body or {}).get("reasoning")))
    return bool(asked) and asked.get("effort") != "none"
