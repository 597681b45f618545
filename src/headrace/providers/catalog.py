"""Which request class serves which wire format; the only module that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.providers.anthropic import AnthropicRequest
from headrace.providers.bedrock import BedrockRequest
from headrace.providers.google import GeminiRequest
from headrace.providers.openai import OpenAIChatRequest, OpenAIResponsesRequest

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.providers.base import Exchange, ProviderRequest

CLASSES: Final[dict[str, type[ProviderRequest]]] = {
    "openai_chat": OpenAIChatRequest,
    "openai_responses": OpenAIResponsesRequest,
    "anthropic": AnthropicRequest,
    "gemini": GeminiRequest,
    "bedrock_converse": BedrockRequest,
}


class Catalog:
    """Finds the request class of a route; a client may bring classes of its own."""

    def __init__(self, classes: dict[str, type[ProviderRequest]] | None = None) -> None:
        self._classes = CLASSES if classes is None else classes

    def bind(self, context: RequestContext, route: Route, exchange: Exchange) -> ProviderRequest:
        """One request object for one attempt."""
        return self._classes[route.endpoint.wire](context, route, exchange)

    def epoch(self, route: Route) -> int:
        """The version of how replies of this route are read."""
        return self._classes[route.endpoint.wire].epoch

    def decode(
        self, context: RequestContext, route: Route, reply: Reply
    ) -> APIResponse[object] | None:
        """Read a recorded reply again; None when the class has no such form."""
        return self._classes[route.endpoint.wire].decode(context, route, reply)
