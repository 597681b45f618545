"""Vertex's ``embedContent``, for one text, and ``batchEmbedContents``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.wire.draft import Unsupported
from headrace.wire.embed import base, gemini
from headrace.wire.operation import drafted
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.wire.draft import Draft

decode = gemini.decode


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; each text brings the options of all."""
    noted = Unsupported(context.params)
    options = base.options(context, route, noted)
    more = {"embedContentConfig": options} if options else {}
    each: list[dict[str, object]] = [
        {"content": {"role": "user", "parts": [gemini.part(given, route)]}, **more}
        for given in base.asked_of(context).inputs
    ]
    path = f"/models/{segment(route.model.name)}"
    if len(each) == 1:
        return drafted(context, route, f"{path}:embedContent", each[0], noted)
    return drafted(context, route, f"{path}:batchEmbedContents", {"requests": each}, noted)
