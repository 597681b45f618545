"""Gemini's ``batchEmbedContents``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.response import Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.embed import base
from headrace.wire.operation import drafted
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.media import Image
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; each text brings the options of all."""
    noted = Unsupported(context.params)
    name, more = route.model.name, base.options(context, route, noted)
    requests = [
        {"model": f"models/{name}", "content": {"parts": [part(each, route)]}, **more}
        for each in base.asked_of(context).inputs
    ]
    path = f"/models/{segment(name)}:batchEmbedContents"
    return drafted(context, route, path, {"requests": requests}, noted)


def part(given: str | Image, route: Route) -> dict[str, object]:
    """A text, or an image, as a part of a content."""
    if isinstance(given, str):
        return {"text": given}
    image = base.bytes_of(given, route)
    return {"inlineData": {"mimeType": image.media_type, "data": image.base64}}


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vectors, in the order of the texts; raises ``ReplyError`` for what are none.

    One text that was asked alone, as Vertex is, has an ``embedding`` of its own.
    """
    data = failure.read_object(reply)
    count = reading.count(reading.block(data.get("usageMetadata")).get("promptTokenCount"))
    usage = None if count is None else Usage(count)
    items = [data["embedding"]] if "embedding" in data else data.get("embeddings")
    if data.get("error"):
        raise failure.from_error_object(data, reply, usage)
    if type(items) is not list:
        raise failure.unreadable(reply, "it has no embeddings", usage)
    found = [reading.block(item).get("values") for item in items]
    return base.answer(context, route, reply, data, found, usage)
