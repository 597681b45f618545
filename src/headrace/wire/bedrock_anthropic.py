"""Claude by AWS Bedrock's InvokeModel: the body of Anthropic's Messages, without model and stream.

The version stands in the body. It is the one that all Claude models take there; for a newer one,
put ``anthropic_version`` into ``extra_body``, of the call or the model's row.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.errors import RejectedError
from headrace.core.media import Audio, File, Image
from headrace.core.parts import ToolResult
from headrace.core.reply import Reply
from headrace.wire import anthropic, failure, reading
from headrace.wire.anthropic.answer import usage_of
from headrace.wire.bedrock_converse import guardrail
from headrace.wire.bedrock_converse.stream import exception
from headrace.wire.draft import Draft, Unsupported
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Fold, Headers

EPOCH: Final = 1
FRAMING: Final = "event_stream"
VERSION: Final = "bedrock-2023-05-31"
_BETA: Final = "anthropic-beta"
_TIER: Final = "x-amzn-bedrock-service-tier"
_OF_BEDROCK: Final = "amazon-bedrock-"
_OK: Final = 200


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what Bedrock cannot carry.
    """
    params = context.params
    operation = "invoke-with-response-stream" if stream else "invoke"
    path = f"/model/{segment(route.model.name)}/{operation}"
    _check_media(context.conversation.messages)
    unsupported = Unsupported(params)
    asked = anthropic.body(
        replace(context, params=_as_anthropic(params)),
        route,
        unsupported,
        system_turns=_version(params) != VERSION,
    )
    body = {"anthropic_version": VERSION, **asked.body}
    betas = [*asked.betas, *_betas(params), *_list(body.get("anthropic_beta"))]
    if betas:
        body["anthropic_beta"] = list(dict.fromkeys(betas))
    return Draft(path, reading.write(body), _headers(params), unsupported.told())


def _as_anthropic(params: SamplingParams | None) -> SamplingParams | None:
    """The tier goes as a header; and Bedrock has no switch for marks, but marks."""
    if params is None:
        return None
    changed: dict[str, object] = {"service_tier": None}
    if params.prompt_caching == "automatic":
        changed["prompt_caching"] = "last_user_message"
    return type(params).model_validate(params.given() | changed)


def _version(params: SamplingParams | None) -> object:
    extra = None if params is None else params.extra_body
    return (extra or {}).get("anthropic_version", VERSION)


def _betas(params: SamplingParams | None) -> list[str]:
    """Those of a header, which Bedrock reads in the body."""
    extra = None if params is None else params.extra_headers
    said = [value for name, value in (extra or {}).items() if name.lower() == _BETA]
    return [beta.strip() for value in said for beta in value.split(",") if beta.strip()]


def _headers(params: SamplingParams | None) -> Headers:
    if params is None:
        return ()
    found = {} if params.service_tier is None else {_TIER: params.service_tier}
    extra = (params.extra_headers or {}).items()
    return tuple((found | {name: value for name, value in extra if name.lower() != _BETA}).items())


def _check_media(messages: Sequence[Message]) -> None:
    """Raise ``RejectedError`` for what is no bytes; Bedrock fetches and keeps nothing."""
    for message in messages:
        for part in message.content if type(message.content) is tuple else ():
            for media in part.media if isinstance(part, ToolResult) else (part,):
                if isinstance(media, Image | File | Audio) and media.data is None:
                    what = "a file_id" if media.url is None else "a URL"
                    msg = f"Bedrock fetches nothing from {what}; give the bytes"
                    raise RejectedError(msg)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The answer in a reply with status 200, as Anthropic's own; and what a guardrail did.

    Raises what ``anthropic.decode`` raises, and ``ContentFilterError`` for a guardrail.
    """
    if _OF_BEDROCK.encode() not in reply.body:
        return anthropic.decode(context, route, reply)
    data = failure.read_object(reply)
    trace = reading.block(data.get("amazon-bedrock-trace"))
    if data.get("amazon-bedrock-guardrailAction") == "INTERVENED":
        guardrail.check(trace.get("guardrail"), reply, usage_of(data.get("usage")))
    response = anthropic.decode(context, route, reply)
    noted = {"trace": trace, "metrics": data.get("amazon-bedrock-invocationMetrics")}
    more = {name: value for name, value in noted.items() if value}
    return replace(response, metadata={**response.metadata, **more}) if more else response


def fold(context: RequestContext, route: Route) -> Fold:
    """For one stream."""
    return InvokeFold(anthropic.fold(context, route))


class InvokeFold:
    """Takes the events of Claude out of those of Bedrock; implements ``wire.draft.Fold``."""

    __slots__ = ("_more", "_own")

    def __init__(self, own: Fold) -> None:
        """``own`` folds what comes out."""
        self._own = own
        self._more: dict[str, object] = {}

    def feed(self, event: str, data: bytes) -> Sequence[Chunk]:
        """Take one frame; see ``wire.draft.Fold``. Events that are not known are passed over."""
        if (error := exception(event, data)) is not None:
            raise error
        if event != "chunk":
            return []
        wrapped = reading.block(reading.load(data)).get("bytes")
        try:
            inner = b64decode(wrapped if isinstance(wrapped, str) else "", validate=True)
        except ValueError:
            inner = b""
        found = reading.load(inner)
        if found is None:
            reply = Reply(_OK, data)
            raise failure.unreadable(reply, "a chunk of the stream is not a JSON object")
        self._more |= {name: found[name] for name in found if name.startswith(_OF_BEDROCK)}
        return self._own.feed(reading.text(found.get("type")) or "", inner)

    def reply(self) -> Reply:
        """The whole reply; see ``wire.draft.Fold``."""
        whole = self._own.reply()
        if not self._more:
            return whole
        return Reply(_OK, orjson.dumps({**orjson.loads(whole.body), **self._more}), whole.headers)


def _list(value: object) -> list[str]:
    return value if isinstance(value, list) else []
