"""What is asked, as the body of a generateContent request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from headrace.core.tools import NO_PARAMETERS, Tool
from headrace.wire import reading
from headrace.wire.draft import Draft, Unsupported, merge
from headrace.wire.gemini import turns
from headrace.wire.gemini.schemas import readable
from headrace.wire.turns import note_calls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.core.schema import OutputSchema
    from headrace.core.tools import AnyTool, VendorTool

_SENT_AS: Final = (
    ("max_tokens", "maxOutputTokens"),
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("stop", "stopSequences"),
    ("seed", "seed"),
    ("frequency_penalty", "frequencyPenalty"),
    ("presence_penalty", "presencePenalty"),
    ("logprobs", "responseLogprobs"),
)
_NOT_CARRIED: Final = ("min_p",)
_VENDOR_TOOLS: Final = {
    "web_search": "googleSearch",
    "code_execution": "codeExecution",
    "file_search": "fileSearch",
    "computer_use": "computerUse",
}
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_TIERS: Final = {"default": "standard"}
_MOST_LOGPROBS: Final = 20
# A cached content holds them, and refuses them beside it.
_OF_THE_CACHE: Final = ("systemInstruction", "tools", "toolConfig")


def path(route: Route, *, stream: bool = False) -> str:
    """Where to post: the model stands in the path, not in the body."""
    asked = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{quote(route.model.name, safe='/')}:{asked}"


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what the dialect cannot carry.
    """
    params, messages = context.params, context.conversation.messages
    unsupported = Unsupported(params)
    unsupported.unnamed(messages, "Gemini")
    contents, system = turns.write(messages, unsupported)
    body: dict[str, object] = {"contents": contents}
    if system is not None:
        body["systemInstruction"] = system
    if context.tools:
        body["tools"] = _tools(context.tools)
    config = {} if context.output_schema is None else _shape(context.output_schema)
    headers: tuple[tuple[str, str], ...] = ()
    if params is not None:
        _add(body, config, params, unsupported)
        headers = tuple((params.extra_headers or {}).items())
    if config:
        body["generationConfig"] = config
    _overlay(body, None if params is None else params.extra_body, unsupported)
    return Draft(path(route, stream=stream), reading.write(body), headers, unsupported.told())


def _overlay(
    body: dict[str, object], extra: Mapping[str, object] | None, unsupported: Unsupported
) -> None:
    """Lay ``extra`` over ``body``, one level deep, and so over ``generationConfig``."""
    if not extra:
        return
    merge(body, extra, within=("generationConfig",))
    if body.get("cachedContent") is None:
        return
    taken = [body.pop(name, None) for name in _OF_THE_CACHE]
    if any(taken):
        unsupported.adapt(
            "the system prompt and the tools are left out: Gemini takes those of cachedContent"
        )


def _tools(tools: Sequence[AnyTool]) -> list[dict[str, object]]:
    functions = [_function(tool) for tool in tools if isinstance(tool, Tool)]
    found = [_vendor_tool(tool) for tool in tools if not isinstance(tool, Tool)]
    return [{"functionDeclarations": functions}, *found] if functions else found


def _function(tool: Tool) -> dict[str, object]:
    written: dict[str, object] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.schema != NO_PARAMETERS:
        written["parametersJsonSchema"] = readable(tool.parameters)
    return written


def _vendor_tool(tool: VendorTool) -> dict[str, object]:
    settings = tool.settings
    if "type" in settings:
        return settings
    if tool.kind == "computer_use":
        settings = {"environment": "ENVIRONMENT_BROWSER", **settings}
    return {_VENDOR_TOOLS.get(tool.kind) or _camel(tool.kind): settings}


def _camel(kind: str) -> str:
    first, *rest = kind.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _shape(schema: OutputSchema) -> dict[str, object]:
    asked = readable(schema.schema)
    return {"responseMimeType": "application/json", "responseJsonSchema": asked}


def _add(
    body: dict[str, object],
    config: dict[str, object],
    params: SamplingParams,
    unsupported: Unsupported,
) -> None:
    unsupported.drop(params, _NOT_CARRIED, "Gemini")
    for name, sent_as in _SENT_AS:
        if (value := getattr(params, name)) is not None:
            config[sent_as] = value
    if params.top_logprobs is not None:
        config |= {"responseLogprobs": True, "logprobs": _most(params.top_logprobs, unsupported)}
    if (thinking := _thinking(params, unsupported)) is not None:
        config["thinkingConfig"] = thinking
    note_calls(params, "Gemini", unsupported, has_tools="tools" in body)
    _add_beside(body, params)


def _add_beside(body: dict[str, object], params: SamplingParams) -> None:
    """What stands outside ``generationConfig``."""
    if params.tool_choice is not None and "tools" in body:
        body["toolConfig"] = {"functionCallingConfig": _choice(params.tool_choice)}
    if params.safety_settings:
        body["safetySettings"] = [
            {"category": category, "threshold": threshold}
            for category, threshold in params.safety_settings.items()
        ]
    if (tier := params.service_tier) is not None and tier != "auto":
        body["serviceTier"] = _TIERS.get(tier, tier)


def _most(wanted: int, unsupported: Unsupported) -> int:
    if wanted > _MOST_LOGPROBS:
        unsupported.adapt(f"top_logprobs is {_MOST_LOGPROBS}: Gemini gives no more of them")
    return min(wanted, _MOST_LOGPROBS)


def _thinking(params: SamplingParams, unsupported: Unsupported) -> dict[str, object] | None:
    """A level or a budget: Gemini refuses both at once. Thoughts are asked for with either."""
    effort, budget = params.reasoning_effort, params.thinking_budget
    if budget is not None and effort is not None:
        unsupported.adapt(
            "reasoning_effort is left out: Gemini takes a level or a budget, and there is a"
            " thinking_budget"
        )
    if budget is None and effort == "none":
        budget = 0
    if budget is not None:
        return {"thinkingBudget": budget, **({"includeThoughts": True} if budget else {})}
    if effort is None:
        return None
    if effort == "max":
        unsupported.adapt('reasoning_effort "max" is sent as XHIGH, the highest of Gemini')
        effort = "xhigh"
    return {"thinkingLevel": effort.upper(), "includeThoughts": True}


def _choice(wanted: str) -> dict[str, object]:
    if (mode := _MODES.get(wanted)) is not None:
        return {"mode": mode}
    return {"mode": "ANY", "allowedFunctionNames": [wanted]}
