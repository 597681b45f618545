"""Google Gemini's generateContent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.providers.base import ProviderRequest
from headrace.wire import failure, gemini

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse


class GeminiRequest(ProviderRequest):
    """``POST /models/MODEL:generateContent``."""

    __slots__ = ()
    epoch = gemini.EPOCH

    async def execute_once(self) -> APIResponse[object]:
        """Make one exchange; see ``ProviderRequest``."""
        context, model = self.context, self.route.model
        body = gemini.encode(context.conversation, context.params)
        reply = await self.exchange.post(gemini.path(model), body)
        failure.check(reply)
        return gemini.decode(reply, model)

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a recorded reply again."""
        del context
        failure.check(reply)
        return gemini.decode(reply, route.model)
