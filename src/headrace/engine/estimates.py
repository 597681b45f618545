"""What prompts are and cost before they are sent: tokens and dollars. Nothing is sent for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict, Unpack

from headrace.adapters import tokens
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation, Message, Prompt
from headrace.core.errors import BadRowError
from headrace.core.estimate import NOTHING_ASKED, Estimate, TokenCount
from headrace.core.operations import Operation
from headrace.core.response import Usage
from headrace.engine import pricing
from headrace.policy import reservation

if TYPE_CHECKING:
    from headrace.core.model import Model
    from headrace.core.params import SamplingParams
    from headrace.engine.choice import Choice
    from headrace.engine.fleet import Fleet
    from headrace.engine.scope import RouteState

Asked: TypeAlias = Prompt | Operation | RequestContext
_ONE = (str, Conversation, Message, RequestContext, Mapping)
_OF_ONE = (Message, Mapping)


class CountOptions(TypedDict, total=False):
    """Options of ``count_tokens``; they mean what they mean where prompts are sent."""

    model: str | Model | Sequence[str | Model] | None
    tools: Sequence[Any] | None
    output_schema: Any


class EstimateOptions(CountOptions, total=False):
    """Options of ``estimate_cost``; they mean what they mean where prompts are sent."""

    sampling_params: SamplingParams | None


class _Call(Protocol):
    @property
    def choice(self) -> Choice: ...

    def context(self, index: int, prompt: object, now: int) -> RequestContext: ...


class Estimating:
    """The verbs of a client that send nothing."""

    _fleet: Fleet

    def _call(self, known: type[object], given: Mapping[str, Any], **more: object) -> _Call:
        raise NotImplementedError

    def estimate_cost(
        self,
        prompt: Asked | Iterable[Asked],
        **options: Unpack[EstimateOptions],
    ) -> Estimate:
        """What one prompt, or each of an iterable of prompts, would cost together.

        ``tools`` and ``output_schema`` count as input. Of several models the dearest counts.
        Nothing is sent; price data and a tokenizer are loaded the first time, which takes a second.
        Raises ``BadRowError`` for one prompt that is none; among several such a row is never sent,
        and counts nothing.
        """
        call = self._call(EstimateOptions, options)
        several = _several(prompt)
        if several is None:
            return _estimate(call.context(0, prompt, 0), call, self._fleet)
        total = NOTHING_ASKED
        for each in several:
            try:
                total += _estimate(call.context(0, each, 0), call, self._fleet)
            except BadRowError:
                continue
        return total

    def count_tokens(self, prompt: Asked, **options: Unpack[CountOptions]) -> TokenCount:
        """How many tokens a prompt is: exact for OpenAI's models with the extra ``tokens``.

        Else by a rule, corrected by what the model's replies have used so far. In an event loop
        the first counts are by the rule, while a thread loads the tokenizer. Raises
        ``BadRowError`` for what is no prompt.
        """
        call = self._call(CountOptions, options)
        context = call.context(0, prompt, 0)
        counts = [_count(context, s) for s in self._fleet.choose(context, call.choice).lanes]
        return max(counts, key=lambda count: count.tokens)


def _several(prompt: object) -> Iterable[object] | None:
    """What holds several prompts; None for what is one, as a list of messages is."""
    if isinstance(prompt, _ONE) or not isinstance(prompt, Iterable):
        return None
    is_list = isinstance(prompt, list | tuple)
    return None if is_list and any(isinstance(m, _OF_ONE) for m in prompt) else prompt


def _estimate(context: RequestContext, call: _Call, fleet: Fleet) -> Estimate:
    """The dearest of those who may answer."""
    found = [_at(context, state) for state in fleet.choose(context, call.choice).lanes]
    if len(found) == 1:
        return found[0]
    return Estimate(
        prompts=1,
        input_tokens=max(each.input_tokens for each in found),
        max_output_tokens=_most(each.max_output_tokens for each in found),
        input_nanos=_most(each.input_nanos for each in found),
        max_nanos=_most(each.max_nanos for each in found),
        is_exact=all(each.is_exact for each in found),
        remark=next((each.remark for each in found if each.remark), None),
    )


def _most(several: Iterable[int | None]) -> int | None:
    known = list(several)
    return None if None in known else max(n for n in known if n is not None)


def _at(context: RequestContext, state: RouteState) -> Estimate:
    """What it would cost at one route."""
    params = _params(context, state)
    count = _count(context, state)
    most: int | None = 0
    if context.writes:
        most = (params and params.max_tokens) or state.route.model.max_output_tokens
    body = (params and params.extra_body) or {}
    tier = body.get("service_tier")
    tier = tier if isinstance(tier, str) else None
    price = state.pricing.quote(Usage(count.tokens), tier)
    return Estimate(
        prompts=1,
        input_tokens=count.tokens,
        max_output_tokens=most,
        input_nanos=price,
        max_nanos=None if most is None else state.pricing.quote(Usage(count.tokens, most), tier),
        is_exact=count.is_exact,
        remark=pricing.missing() if price is None and state.pricing.has_data else None,
    )


def _params(context: RequestContext, state: RouteState) -> SamplingParams | None:
    return context.params if state.params is None else state.params | context.params


def _count(context: RequestContext, state: RouteState) -> TokenCount:
    prompt, params = context.asked, _params(context, state)
    route = state.route
    is_bare = not context.tools and context.output_schema is None
    if is_bare and isinstance(prompt, Conversation) and reservation.is_plain(prompt, params):
        count = tokens.counter(route.endpoint.vendor, route.model.name)
        counts = [] if count is None else [count(message.text) for message in prompt.messages]
        known = [n for n in counts if n is not None]
        if len(known) == len(prompt.messages):
            framing = tokens.PER_PROMPT + tokens.PER_MESSAGE * len(known)
            return TokenCount(sum(known) + framing, is_exact=True)
    estimated = reservation.input_tokens(prompt, params, context.schemas)
    return TokenCount(state.learning.correction.of(estimated), is_exact=False)
