"""Anthropic Messages, and every server that speaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.providers.base import ProviderRequest
from headrace.wire import anthropic, failure

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse


class AnthropicRequest(ProviderRequest):
    """``POST /v1/messages``."""

    __slots__ = ()
    epoch = anthropic.EPOCH

    async def execute_once(self) -> APIResponse[object]:
        """Make one exchange; see ``ProviderRequest``."""
        context, model = self.context, self.route.model
        body = anthropic.encode(context.conversation, context.params, model)
        reply = await self.exchange.post(anthropic.PATH, body, anthropic.headers(context.params))
        failure.check(reply)
        return anthropic.decode(reply, model)

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a recorded reply again."""
        del context
        failure.check(reply)
        return anthropic.decode(reply, route.model)
