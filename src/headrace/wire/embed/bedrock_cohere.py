"""Bedrock's InvokeModel with the bodies of Cohere's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.wire import failure
from headrace.wire.draft import Unsupported
from headrace.wire.embed import base, bedrock, cohere
from headrace.wire.operation import drafted

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; the model stands in the path alone."""
    noted = Unsupported(context.params)
    body = cohere.fields(context, route, noted)
    return drafted(context, route, bedrock.place(route), body, noted)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vectors, by type or (older models) bare; raises ``ReplyError`` for what are none."""
    data = failure.read_object(reply)
    usage, found = bedrock.usage_of(data, reply), data.get("embeddings")
    if type(found) is dict:
        found = found.get("float")
    if type(found) is not list:
        raise failure.unreadable(reply, "it has no embeddings", usage)
    return base.answer(context, route, reply, data, found, usage)
