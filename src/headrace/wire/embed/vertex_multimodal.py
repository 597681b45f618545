"""Vertex's ``predict`` with the bodies of its model for texts and images, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.wire.draft import Unsupported
from headrace.wire.embed import base, vertex
from headrace.wire.operation import drafted
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.media import Image
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft

_STORAGE: Final = "gs://"


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; raises ``RejectedError`` for several inputs, or an image elsewhere."""
    noted = Unsupported(context.params)
    given = base.alone(base.asked_of(context).inputs, route)
    body: dict[str, object] = {"instances": [_instance(given, route)]}
    if options := base.options(context, route, noted):
        body["parameters"] = options
    return drafted(context, route, f"/models/{segment(route.model.name)}:predict", body, noted)


def _instance(given: str | Image, route: Route) -> dict[str, object]:
    if isinstance(given, str):
        return {"text": given}
    if given.url is not None and given.url.startswith(_STORAGE):
        return {"image": {"gcsUri": given.url}}
    return {"image": {"bytesBase64Encoded": base.bytes_of(given, route).base64}}


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vector; raises ``ReplyError`` for what is none."""
    data, rows = vertex.predictions(reply)
    found = [row.get("imageEmbedding", row.get("textEmbedding")) for row in rows]
    return base.answer(context, route, reply, data, found, None)
