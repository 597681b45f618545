"""Everything but chat: which codec serves which operation of which wire format."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from headrace.core.errors import RejectedError
from headrace.providers.base import ProviderRequest
from headrace.providers.loading import Loaded
from headrace.wire import failure

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft


class OperationCodec(Protocol):
    """How one API writes one operation: a module of ``wire``. Pure."""

    def encode(self, context: RequestContext, route: Route) -> Draft:
        """The request; raises ``RejectedError`` for what the API cannot carry."""

    def decode(self, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """The answer in a reply with status 200; raises the error that it is otherwise."""


_WIRE: Final = "headrace.wire"
CODECS: Final = Loaded[tuple[str, str], OperationCodec](
    {
        ("openai_chat", "embed"): f"{_WIRE}.embed.openai",
        ("gemini", "embed"): f"{_WIRE}.embed.gemini",
        ("cohere", "embed"): f"{_WIRE}.embed.cohere",
        ("ollama", "embed"): f"{_WIRE}.embed.ollama",
        ("bedrock_converse", "embed"): f"{_WIRE}.embed.bedrock",
        ("bedrock_cohere", "embed"): f"{_WIRE}.embed.bedrock_cohere",
        ("bedrock_titan_image", "embed"): f"{_WIRE}.embed.titan_image",
        ("vertex", "embed"): f"{_WIRE}.embed.vertex",
        ("vertex_gemini", "embed"): f"{_WIRE}.embed.vertex_gemini",
        ("vertex_multimodal", "embed"): f"{_WIRE}.embed.vertex_multimodal",
        ("openai_chat", "rerank"): f"{_WIRE}.rerank",
        ("cohere", "rerank"): f"{_WIRE}.rerank",
        ("bedrock_converse", "rerank"): f"{_WIRE}.bedrock_rerank",
        ("bedrock_cohere", "rerank"): f"{_WIRE}.bedrock_rerank",
        ("openai_chat", "moderate"): f"{_WIRE}.moderation",
        ("openai_chat", "transcribe"): f"{_WIRE}.transcription",
        ("cohere", "transcribe"): f"{_WIRE}.transcription",
        ("openai_chat", "speak"): f"{_WIRE}.speech",
    }
)


class OperationRequest(ProviderRequest):
    """An exchange that the codec of an operation writes and reads."""

    __slots__ = ()
    codec: ClassVar[OperationCodec]

    async def execute_once(self) -> APIResponse[object]:
        """Make one exchange; see ``ProviderRequest``."""
        draft = self.codec.encode(self.context, self.route)
        reply = await self.exchange.post(
            draft.path, draft.body, draft.headers, content_type=draft.content_type
        )
        response = self.decode(self.context, self.route, reply)
        if not draft.adaptations:
            return response
        return replace(response, adaptations=(*draft.adaptations, *response.adaptations))

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a recorded reply again."""
        failure.check(reply)
        return cls.codec.decode(context, route, reply)


def class_of(operation: str, route: Route) -> type[OperationRequest]:
    """The request class of an operation; raises ``RejectedError`` where the endpoint has none."""
    row = route.endpoint
    offer = route.offer(operation)
    wire = row.wire if offer is None else offer.wire or row.wire
    if offer is None or (wire, operation) not in CODECS:
        msg = f"the endpoint {row.name!r} does not {operation}; choose another one for it"
        raise RejectedError(msg)
    return _class(wire, operation)


@cache
def _class(wire: str, operation: str) -> type[OperationRequest]:
    class Made(OperationRequest):
        __slots__ = ()
        codec = CODECS[wire, operation]

    return Made
