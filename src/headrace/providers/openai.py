"""OpenAI Chat Completions, and every server that speaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.providers.base import ProviderRequest
from headrace.wire import failure, openai_chat

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
