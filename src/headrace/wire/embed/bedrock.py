"""Bedrock's InvokeModel, with the bodies of Titan's models and of Cohere's. One text at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import RejectedError
from headrace.core.response import Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.embed import base
from headrace.wire.embed.cohere import USUAL
from headrace.wire.operation import drafted, offer_of
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; raises ``RejectedError`` for several texts."""
    asked, noted = base.asked_of(context), Unsupported(context.params)
    if len(asked.inputs) > 1:
        msg = "Bedrock embeds one text at a time; give the endpoint's row items = 1"
        raise RejectedError(msg)
    name = route.model.name
    body: dict[str, object] = {}
    if "cohere." in name:
        word = offer_of(route, asked.name).words.get(asked.input_type or "")
        body = {"texts": list(asked.inputs), "embedding_types": ["float"]}
        body["input_type"] = word or USUAL
        size = "output_dimension"
    else:
        word, size = None, "dimensions"
        body = {"inputText": asked.inputs[0]}
    if asked.input_type is not None and word is None:
        noted.adapt(f"input_type {asked.input_type!r} is left out: {name} has none")
    if asked.dimensions is not None:
        body[size] = asked.dimensions
    return drafted(context, route, f"/model/{segment(name)}/invoke", body, noted)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vector; raises ``ReplyError`` for what is none."""
    data = failure.read_object(reply)
    count = reading.count(data.get("inputTextTokenCount"))
    usage = None if count is None else Usage(count)
    found = data.get("embeddings")
    if type(found) is dict:
        found = found.get("float")
    if found is None and "embedding" in data:
        found = [data["embedding"]]
    if type(found) is not list:
        raise failure.unreadable(reply, "it has no embedding", usage)
    return base.answer(context, route, reply, data, found, usage)
