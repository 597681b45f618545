"""Which request class serves which wire format; the only module that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.adapters import registered
from headrace.core.conversation import Conversation
from headrace.core.errors import ConfigError
from headrace.core.spelling import meant
from headrace.providers.base import ProviderRequest
from headrace.providers.loading import Loaded
from headrace.providers.operations import class_of

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.providers.base import Exchange

_HERE: Final = "headrace.providers"
CLASSES: Final = Loaded[str, type[ProviderRequest]](
    {
        "openai_chat": f"{_HERE}.openai:OpenAIChatRequest",
        "openai_responses": f"{_HERE}.openai:OpenAIResponsesRequest",
        "anthropic": f"{_HERE}.anthropic:AnthropicRequest",
        "vertex_anthropic": f"{_HERE}.anthropic:VertexAnthropicRequest",
        "gemini": f"{_HERE}.google:GeminiRequest",
        "bedrock_converse": f"{_HERE}.bedrock:BedrockRequest",
        "bedrock_anthropic": f"{_HERE}.bedrock:BedrockAnthropicRequest",
        "cohere": f"{_HERE}.cohere:CohereRequest",
        "ollama": f"{_HERE}.ollama:OllamaRequest",
    }
)


class Catalog:
    """Finds the request class of a route; a client may bring classes of its own."""

    def __init__(self, classes: dict[str, type[ProviderRequest]] | None = None) -> None:
        self._classes = registered.classes() if classes is None else classes

    def bind(self, context: RequestContext, route: Route, exchange: Exchange) -> ProviderRequest:
        """One request object for one attempt."""
        found = self._classes.get(route.endpoint.wire)
        if found is None or type(context.prompt) is not Conversation:
            found = self._class(context, route)
        return found(context, route, exchange)

    def epoch(self, route: Route) -> int:
        """The version of how replies of this route are read.

        Asked once for each route, before its first request: raises ``ConfigError`` where no class
        has the name of its wire format.
        """
        return self._chat_class(route).epoch

    def decode(
        self, context: RequestContext, route: Route, reply: Reply
    ) -> APIResponse[object] | None:
        """Read a recorded reply again; None when the class has no such form."""
        return self._class(context, route).decode(context, route, reply)

    def _class(self, context: RequestContext, route: Route) -> type[ProviderRequest]:
        found = self._chat_class(route)
        if (operation := context.operation) == "chat":
            return found
        # A class of the user's own gets all operations, and says itself what it cannot do.
        is_ours = found is CLASSES.get(route.endpoint.wire)
        return class_of(operation, route) if is_ours else found

    def _chat_class(self, route: Route) -> type[ProviderRequest]:
        wire = route.endpoint.wire
        if wire not in self._classes:
            self._classes = {**self._classes, wire: _found(wire, route.endpoint.name)}
        return self._classes[wire]


def _found(wire: str, endpoint: str) -> type[ProviderRequest]:
    """One of our own, or one that was registered late, or that an installed package offers."""
    if wire in CLASSES:
        return CLASSES[wire]
    if wire not in registered.classes():
        registered.discover(wire)
    found = registered.classes().get(wire)
    if found is None:
        msg = (
            f"the endpoint {endpoint!r} writes {wire!r}, which no provider does"
            f"{meant(wire, {*CLASSES, *registered.classes()})}; register it with register_provider"
        )
        raise ConfigError(msg)
    return _checked(wire, found)


def register_provider(name: str, provider: type[ProviderRequest]) -> None:
    """Let endpoints whose ``wire`` is ``name`` be asked by ``provider``, a request class.

    Raises ``ConfigError`` for a name of our own, and for what is no subclass of
    ``ProviderRequest``.
    """
    if not isinstance(name, str) or not name or name in CLASSES:
        msg = f"the name {name!r} of a provider must be a text, and none of {', '.join(CLASSES)}"
        raise ConfigError(msg)
    registered.register_class(name, _checked(name, provider))


def _checked(name: str, provider: type[Any]) -> type[ProviderRequest]:
    if isinstance(provider, type) and issubclass(provider, ProviderRequest):
        return provider
    msg = f"the provider {name!r} must be a subclass of ProviderRequest, not {provider!r}"
    raise ConfigError(msg)


def unregister_provider(name: str) -> None:
    """Forget a registered provider; raises ``ConfigError`` where there is none of that name."""
    registered.unregister_class(name)


def list_providers() -> list[str]:
    """The names of all wire formats: our own and the registered ones."""
    return sorted({*CLASSES, *registered.classes()})
