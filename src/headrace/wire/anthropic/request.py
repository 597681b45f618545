"""What is asked of Claude: parameters, thinking, the version, and all that the prompt brings.

The API has two versions since 21 October 2026. The new one refuses sampling parameters, even with
default values; the old one knows no system message among the turns.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.core.errors import RejectedError
from headrace.wire import reading
from headrace.wire.anthropic import caching, shape, tools, turns
from headrace.wire.draft import Draft, Headers, Unsupported, merge

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams

PATH: Final = "/v1/messages"
NEW: Final = "2026-10-21"
OLD: Final = "2023-06-01"
MAX_TOKENS: Final = 4096
LEAST_BUDGET: Final = 1024

_HEADERS: Final[Headers] = (("anthropic-version", NEW),)
_SAMPLING: Final = ("temperature", "top_p", "top_k")
# Of sampling, thinking goes together with a wide top_p only.
_LEAST_TOP_P: Final = 0.95
_NONE_OF: Final = (
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "safety_settings",
)
# All that is looked at beside max_tokens, which is often set alone.
_READ: Final = (
    *_SAMPLING,
    *_NONE_OF,
    "stop",
    "reasoning_effort",
    "thinking_budget",
    "tool_choice",
    "parallel_tool_calls",
    "prompt_caching",
    "service_tier",
    "extra_body",
)
_MORE: Final = attrgetter(*_READ)
_NOTHING_MORE: Final = (None,) * len(_READ)
_TIERS: Final = {
    "auto": "auto",
    "priority": "auto",
    "standard_only": "standard_only",
    "standard": "standard_only",
    "default": "standard_only",
}


class Asked(NamedTuple):
    """A body without model, stream and version.

    ``samples`` says that a sampling parameter is in it, which only the old version takes;
    ``betas`` are to be named in the header ``anthropic-beta`` (at Bedrock: in the body).
    """

    body: dict[str, object]
    samples: bool = False
    betas: tuple[str, ...] = ()


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request to Anthropic's own API. What is unset is not sent; ``extra_body`` comes last.

    Raises ``RejectedError`` for what the API cannot carry.
    """
    if not stream and (said := _only_text(context)) is not None:
        plain = {
            "model": route.model.name,
            "max_tokens": _max_tokens(context.params, route),
            "messages": [{"role": "user", "content": said}],
        }
        return Draft(PATH, reading.write(plain), _HEADERS)
    unsupported = Unsupported(context.params)
    asked = body(context, route, unsupported)
    whole = {"model": route.model.name, **asked.body}
    if stream:
        whole["stream"] = True
    return Draft(PATH, reading.write(whole), headers(asked, context.params), unsupported.told())


def _only_text(context: RequestContext) -> str | None:
    """The text of a prompt that is one text of the user, and asked with nothing but a bound.

    It is the usual case, and written without looking for all that is not there.
    """
    params, messages = context.params, context.conversation.messages
    only = messages[0]
    if len(messages) > 1 or only.role != "user" or only.name is not None:
        return None
    if type(only.content) is not str:
        return None
    if context.tools or context.output_schema is not None:
        return None
    if params is not None and (params.extra_headers or _MORE(params) != _NOTHING_MORE):
        return None
    return only.content


def body(
    context: RequestContext, route: Route, unsupported: Unsupported, *, system_turns: bool = True
) -> Asked:
    """All that is asked, as every host of Claude takes it.

    ``system_turns=False`` is for hosts that know no system message among the turns.
    ``max_tokens``, which the API demands, is that of ``params``, else the model's maximum, else
    4,096 (and a ``thinking_budget`` on top of it). Raises ``RejectedError``.
    """
    params, messages = context.params, context.conversation.messages
    unsupported.unnamed(messages, "Anthropic")
    prompt = turns.read(messages, unsupported)
    found: dict[str, object] = {"max_tokens": _max_tokens(params, route)}
    if prompt.system:
        found["system"] = prompt.system
    found["messages"] = prompt.turns
    if prompt.has_system_turns:
        _check_system_turns(params, system_turns=system_turns)
    if params is None and not prompt.is_rich and not context.tools and not context.output_schema:
        return Asked(found)
    betas = (*prompt.betas, *tools.add(found, context, unsupported))
    answer = shape.add(found, context, route)
    if params is not None and _MORE(params) != _NOTHING_MORE:
        late = prompt.has_system_turns
        _add(found, params, unsupported, answer=answer, has_system_turns=late)
        caching.mark(found, params.prompt_caching)
        merge(found, params.extra_body, within=("output_config",))
    if prompt.is_rich or (params is not None and params.prompt_caching is not None):
        caching.bound(found, unsupported)
    return Asked(found, not found.keys().isdisjoint(_SAMPLING), tuple(dict.fromkeys(betas)))


def headers(asked: Asked, params: SamplingParams | None, *, has_version: bool = True) -> Headers:
    """Version and betas; what ``extra_headers`` says of the version wins, its betas are added.

    Where the version stands in the body, it is no header (``has_version=False``).
    """
    extra = None if params is None else params.extra_headers
    if has_version and not extra and not asked.samples and not asked.betas:
        return _HEADERS
    found = {"anthropic-version": OLD if asked.samples else NEW} if has_version else {}
    if asked.betas:
        found["anthropic-beta"] = ",".join(asked.betas)
    for name, value in (extra or {}).items():
        lower = name.lower()
        joined = lower == "anthropic-beta" and lower in found
        found[lower] = f"{found[lower]},{value}" if joined else value
    return tuple(found.items())


def _max_tokens(params: SamplingParams | None, route: Route) -> int:
    if params is not None and params.max_tokens is not None:
        return params.max_tokens
    if route.model.max_output_tokens is not None:
        return route.model.max_output_tokens
    return MAX_TOKENS + (0 if params is None else params.thinking_budget or 0)


def _check_system_turns(params: SamplingParams | None, *, system_turns: bool) -> None:
    if not system_turns:
        msg = "this host of Claude knows no system message among the turns; put it first"
        raise RejectedError(msg)
    extra = None if params is None else params.extra_body
    if extra and not extra.keys().isdisjoint(_SAMPLING):
        msg = (
            "a system message among the turns cannot go together with temperature, top_p or top_k"
            " at Anthropic; unset these, or put the system message first"
        )
        raise RejectedError(msg)


def _add(
    found: dict[str, object],
    params: SamplingParams,
    unsupported: Unsupported,
    *,
    answer: str | None,
    has_system_turns: bool,
) -> None:
    unsupported.drop(params, _NONE_OF, "Anthropic")
    thinking = _thinking(params, found, unsupported, forced=answer is not None)
    thinks = thinking is not None and thinking["type"] == "enabled"
    if thinking is not None:
        found["thinking"] = thinking
    tools.choose(found, params, unsupported, thinks=thinks, answer=answer)
    why = "a system message among the turns" if has_system_turns else "thinking" if thinks else None
    found.update(_sampling(params, unsupported, why))
    if params.stop is not None and (stop := _stop(params.stop, unsupported)):
        found["stop_sequences"] = stop
    if (effort := _effort(params, unsupported)) is not None:
        found["output_config"] = {**reading.block(found.get("output_config")), "effort": effort}
    if params.service_tier is not None:
        if (tier := _TIERS.get(params.service_tier)) is not None:
            found["service_tier"] = tier
        else:
            unsupported.adapt(
                f"service_tier {params.service_tier!r:.40} is left out: Anthropic knows auto and"
                " standard_only"
            )


def _sampling(
    params: SamplingParams, unsupported: Unsupported, why: str | None
) -> dict[str, float]:
    """Sampling parameters; ``why`` says what they cannot go together with, if anything."""
    found: dict[str, float] = {}
    for name in _SAMPLING:
        value: float | None = getattr(params, name)
        if value is None:
            continue
        kept = why == "thinking" and name == "top_p" and value >= _LEAST_TOP_P
        if why is not None and not kept:
            unsupported.adapt(f"{name} is left out: at Anthropic it cannot go together with {why}")
        elif name == "temperature" and value > 1:
            unsupported.adapt(f"temperature {value:g} is sent as 1: Anthropic takes 0 to 1")
            found[name] = 1.0
        else:
            found[name] = value
    return found


def _thinking(
    params: SamplingParams, found: dict[str, object], unsupported: Unsupported, *, forced: bool
) -> dict[str, object] | None:
    budget, most = params.thinking_budget, found["max_tokens"]
    if budget == 0 or (budget is None and params.reasoning_effort == "none"):
        return {"type": "disabled"}
    if budget is None:
        return None
    if forced:
        unsupported.adapt("thinking_budget is left out: an answer by a tool goes without thinking")
        return None
    if type(most) is not int or most <= LEAST_BUDGET:
        unsupported.adapt(
            "thinking_budget is left out: it is at least 1,024 at Anthropic, and below max_tokens"
        )
        return None
    sent = min(max(budget, LEAST_BUDGET), most - 1)
    if sent != budget:
        unsupported.adapt(
            f"thinking_budget {budget:,} is sent as {sent:,}: it is at least 1,024 at Anthropic,"
            " and below max_tokens"
        )
    return {"type": "enabled", "budget_tokens": sent}


def _effort(params: SamplingParams, unsupported: Unsupported) -> str | None:
    effort = params.reasoning_effort
    if effort == "minimal":
        unsupported.adapt("reasoning_effort 'minimal' is sent as 'low', the least that Claude has")
        return "low"
    if effort == "none" and params.thinking_budget:
        unsupported.adapt("reasoning_effort 'none' is left out: thinking_budget asks for thinking")
    return None if effort == "none" else effort


def _stop(stop: tuple[str, ...], unsupported: Unsupported) -> list[str]:
    kept = [sequence for sequence in stop if sequence.strip()]
    if len(kept) < len(stop):
        unsupported.adapt("a stop of white space alone is left out: Anthropic takes none such")
    return kept
