"""Bedrock's InvokeModel with the bodies of Titan's models, which take one text at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.response import Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.embed import base
from headrace.wire.operation import drafted
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft

_BILLED: Final = "x-amzn-bedrock-input-token-count"


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; raises ``RejectedError`` for several texts, or an image."""
    noted = Unsupported(context.params)
    text = base.alone(base.texts_of(context, route), route)
    body = {"inputText": text, **base.options(context, route, noted)}
    return drafted(context, route, place(route), body, noted)


def place(route: Route) -> str:
    """Where a model is invoked."""
    return f"/model/{segment(route.model.name)}/invoke"


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vector; raises ``ReplyError`` for what is none."""
    data = failure.read_object(reply)
    usage = usage_of(data, reply)
    if "embedding" not in data:
        raise failure.unreadable(reply, "it has no embedding", usage)
    return base.answer(context, route, reply, data, [data["embedding"]], usage)


def usage_of(data: dict[str, object], reply: Reply) -> Usage | None:
    """Titan says it in the body, and Bedrock for Cohere's models in a header alone."""
    told = reply.headers.get(_BILLED, "")
    count = reading.count(data.get("inputTextTokenCount", int(told) if told.isdecimal() else None))
    return None if count is None else Usage(count)
