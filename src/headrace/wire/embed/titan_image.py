"""Bedrock's InvokeModel with the bodies of Titan's model for texts and images, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.wire.draft import Unsupported
from headrace.wire.embed import base, bedrock
from headrace.wire.operation import drafted

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.wire.draft import Draft

decode = bedrock.decode


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; raises ``RejectedError`` for several inputs, or an image elsewhere."""
    noted = Unsupported(context.params)
    given = base.alone(base.asked_of(context).inputs, route)
    if isinstance(given, str):
        body: dict[str, object] = {"inputText": given}
    else:
        body = {"inputImage": base.bytes_of(given, route).base64}
    if options := base.options(context, route, noted):
        body["embeddingConfig"] = options
    return drafted(context, route, bedrock.place(route), body, noted)
