"""OpenAI Chat Completions and Responses, and every server that speaks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.providers.base import ProviderRequest
from headrace.wire import failure, openai_chat, openai_responses

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse


class OpenAIChatRequest(ProviderRequest):
    """``POST /chat/completions``."""

    __slots__ = ()
    epoch = openai_chat.EPOCH

    async def execute_once(self) -> APIResponse[object]:
        """Make one exchange; see ``ProviderRequest``."""
        context, route = self.context, self.route
        body = openai_chat.encode(
            context.conversation,
            context.params,
            route.model,
            max_tokens_field=route.endpoint.max_tokens_field,
            renames=route.endpoint.renames,
        )
        reply = await self.exchange.post(openai_chat.PATH, body)
        failure.check(reply)
        return openai_chat.decode(reply, route.model)

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a recorded reply again."""
        del context
        failure.check(reply)
        return openai_chat.decode(reply, route.model)


class OpenAIResponsesRequest(ProviderRequest):
    """``POST /responses``."""

    __slots__ = ()
    epoch = openai_responses.EPOCH

    async def execute_once(self) -> APIResponse[object]:
        """Make one exchange; see ``ProviderRequest``."""
        context, model = self.context, self.route.model
        body = openai_responses.encode(context.conversation, context.params, model)
        reply = await self.exchange.post(openai_responses.PATH, body)
        failure.check(reply)
        return openai_responses.decode(reply, model)

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a recorded reply again."""
        del context
        failure.check(reply)
        return openai_responses.decode(reply, route.model)
