"""Claude on Vertex AI (rawPredict): the model stands in the path, the version in the body.

The route's base URL ends with ``/locations/LOCATION/publishers/anthropic``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from headrace.wire import anthropic, reading
from headrace.wire.anthropic import decode, fold
from headrace.wire.draft import Draft, Unsupported

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route

__all__ = ["EPOCH", "FRAMING", "OLD", "decode", "encode", "fold", "path"]

EPOCH = anthropic.EPOCH
FRAMING = anthropic.FRAMING
OLD: Final = "vertex-2023-10-16"


def path(route: Route, *, stream: bool = False) -> str:
    """Where to post."""
    name = quote(route.model.name, safe="/@")
    return f"/models/{name}:{'streamRawPredict' if stream else 'rawPredict'}"


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request; an ``anthropic_version`` in ``extra_body`` wins over the one chosen here.

    Raises ``RejectedError`` for what Claude cannot be asked.
    """
    unsupported = Unsupported(context.params)
    asked = anthropic.body(context, route, unsupported)
    body = {"anthropic_version": OLD if asked.samples else anthropic.NEW, **asked.body}
    if stream:
        body["stream"] = True
    headers = anthropic.headers(asked, context.params, has_version=False)
    return Draft(path(route, stream=stream), reading.write(body), headers, unsupported.told())
