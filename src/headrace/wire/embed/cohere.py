"""Cohere's ``/v2/embed``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.media import Image
from headrace.core.response import Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.embed import base
from headrace.wire.operation import drafted

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft

PATH: Final = "/v2/embed"
# It has to be told; texts are mostly those that are to be found.
USUAL: Final = "search_document"


def encode(context: RequestContext, route: Route) -> Draft:
    """The request."""
    noted = Unsupported(context.params)
    body = {"model": route.model.name, **fields(context, route, noted)}
    return drafted(context, route, PATH, body, noted)


def fields(context: RequestContext, route: Route, noted: Unsupported) -> dict[str, object]:
    """What is asked, wherever the model is; raises ``RejectedError`` for an image elsewhere."""
    asked = base.asked_of(context)
    body: dict[str, object] = {"embedding_types": ["float"], "input_type": USUAL}
    body |= base.options(context, route, noted)
    images = [base.bytes_of(each, route) for each in asked.inputs if isinstance(each, Image)]
    if not images:
        return {"texts": list(asked.texts), **body}
    if asked.input_type is not None:
        noted.adapt(f"input_type {asked.input_type!r} is left out: an image is an image to Cohere")
    return {"images": [image.data_uri for image in images], **body, "input_type": "image"}


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vectors, in the order of the texts; raises ``ReplyError`` for what are none."""
    data = failure.read_object(reply)
    billed = reading.block(reading.block(data.get("meta")).get("billed_units"))
    count = base.whole(billed.get("input_tokens"))
    usage = None if count is None else Usage(count)
    found = reading.block(data.get("embeddings")).get("float")
    if type(found) is not list:
        raise failure.unreadable(reply, "it has no embeddings", usage)
    return base.answer(context, route, reply, data, found, usage)
