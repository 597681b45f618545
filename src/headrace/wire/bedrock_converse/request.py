"""What is asked by Converse: path, parameters, caching, and all that the prompt brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import RejectedError
from headrace.wire import reading
from headrace.wire.bedrock_converse import caching, shape, tools
from headrace.wire.bedrock_converse.turns import Turns
from headrace.wire.draft import Draft, Unsupported, merge
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from typing import Any

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams

_NOT_CARRIED: Final = (
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
)
# What models have, each family under another name.
_OF_MODELS: Final = ("top_k", "thinking_budget")
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what Bedrock cannot carry.
    """
    params, unsupported = context.params, Unsupported(context.params)
    path = f"/model/{segment(route.model.name)}/converse{'-stream' if stream else ''}"
    body = _body(context, route, unsupported)
    if params is None:
        return Draft(path, reading.write(body), adaptations=unsupported.told())
    headers = tuple((params.extra_headers or {}).items())
    return Draft(path, reading.write(merge(body, params.extra_body)), headers, unsupported.told())


def _body(context: RequestContext, route: Route, unsupported: Unsupported) -> dict[str, Any]:
    params, messages = context.params, context.conversation.messages
    first = next((n for n, m in enumerate(messages) if m.role != "system"), len(messages))
    if first == len(messages):
        msg = "the prompt holds system messages only, which Bedrock refuses; add one of the user"
        raise RejectedError(msg)
    unsupported.unnamed(messages, "Bedrock")
    writer = Turns(unsupported)
    body: dict[str, Any] = {"messages": writer.turns(messages[first:])}
    if first and (system := writer.system(messages[:first])):
        body["system"] = system
    if context.tools or writer.called:
        tools.add(body, context, writer.called, unsupported)
    if context.output_schema is not None:
        shape.add(body, context, route)
    if params is not None:
        _add(body, params, unsupported)
    if writer.is_marked:
        caching.bound(body, unsupported)
    return body


def _add(body: dict[str, Any], params: SamplingParams, unsupported: Unsupported) -> None:
    unsupported.drop(params, _NOT_CARRIED, "Converse")
    _refer(params, unsupported)
    if config := _inference(params, unsupported):
        body["inferenceConfig"] = config
    if (effort := params.reasoning_effort) is not None:
        if effort in _EFFORTS:
            body["outputConfig"] = {**body.get("outputConfig", {}), "effort": effort}
        else:
            said = f"reasoning_effort {effort!r} is left out: Converse begins with low"
            unsupported.adapt(said)
    if params.service_tier is not None:
        body["serviceTier"] = {"type": params.service_tier}
    if params.prompt_caching is not None:
        caching.mark(body, params.prompt_caching)


def _refer(params: SamplingParams, unsupported: Unsupported) -> None:
    """Leave out what extra_body can say for one model, and say so."""
    for name in _OF_MODELS:
        if getattr(params, name) is not None:
            unsupported.adapt(
                f"{name} is left out: Converse has none; give what your model calls it as"
                ' extra_body={"additionalModelRequestFields": …}'
            )
    if params.parallel_tool_calls is False:
        unsupported.adapt("parallel_tool_calls is left out: Converse has no such switch")
    if params.safety_settings is not None:
        unsupported.adapt(
            "safety_settings are left out: Bedrock has guardrails; name yours in"
            ' extra_body={"guardrailConfig": …}'
        )


def _inference(params: SamplingParams, unsupported: Unsupported) -> dict[str, object]:
    config: dict[str, object] = {}
    if params.max_tokens is not None:
        config["maxTokens"] = params.max_tokens
    if params.temperature is not None:
        if params.temperature > 1:
            said = f"temperature {params.temperature:g} is sent as 1: Converse takes 0 to 1"
            unsupported.adapt(said)
        config["temperature"] = min(params.temperature, 1.0)
    if params.top_p is not None:
        config["topP"] = params.top_p
    if params.stop is not None:
        config["stopSequences"] = params.stop
    return config
