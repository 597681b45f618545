"""How much a model shall think: one pair of parameters, and the ways that servers have for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headrace.core.model import Endpoint
    from headrace.core.params import SamplingParams
    from headrace.wire.draft import Unsupported

# From how many tokens on a budget is which effort, where a server knows efforts alone.
_EFFORTS: Final = ((16_384, "high"), (4_096, "medium"), (1, "low"), (0, "none"))


def switch_thinking(
    body: dict[str, object], params: SamplingParams, row: Endpoint, unsupported: Unsupported
) -> None:
    """Write ``reasoning_effort`` and ``thinking_budget`` as the endpoint's row says."""
    effort: str | None = params.reasoning_effort
    budget = params.thinking_budget
    if effort is not None and "reasoning_effort" in row.unsupported:
        unsupported.adapt(f"reasoning_effort is left out: {row.name} has none")
        effort = None
    if budget is not None and (name := row.renames.get("thinking_budget")) is not None:
        body[name], budget = budget, None
    if budget is not None and row.thinking == "reasoning" and budget:
        if effort is not None:
            unsupported.adapt(f"reasoning_effort is left out: {row.name} takes it or a budget")
        body["reasoning"] = {"max_tokens": budget}
        return
    if budget is not None:
        effort = _as_effort(budget, effort, row, unsupported)
    if effort is not None:
        _switch(body, effort, row, unsupported)


def _as_effort(
    budget: int, effort: str | None, row: Endpoint, unsupported: Unsupported
) -> str | None:
    refused = "thinking_budget" in row.unsupported or "reasoning_effort" in row.unsupported
    if effort is not None or refused:
        unsupported.adapt(f"thinking_budget is left out: {row.name} has none")
        return effort
    found = next(name for least, name in _EFFORTS if budget >= least)
    if budget:
        unsupported.adapt(f"thinking_budget is sent as the effort {found}: {row.name} has none")
    return found


def _switch(body: dict[str, object], effort: str, row: Endpoint, unsupported: Unsupported) -> None:
    thinks = effort != "none"
    match row.thinking:
        case "reasoning":
            body["reasoning"] = {"effort": effort}
        case "thinking":
            body["thinking"] = {"type": "enabled" if thinks else "disabled"}
            if thinks:
                body[row.renames.get("reasoning_effort", "reasoning_effort")] = effort
        case "enable_thinking":
            body["chat_template_kwargs"] = {"enable_thinking": thinks}
            if thinks:
                unsupported.adapt(f"the effort {effort} only switches thinking on at {row.name}")
        case _:
            body[row.renames.get("reasoning_effort", "reasoning_effort")] = effort
