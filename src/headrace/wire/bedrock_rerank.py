"""Bedrock's InvokeModel with the bodies of rankers: Amazon's and Cohere's, which differ in a field.

Each refuses a request that has the other's form: Cohere's has to be told its API's version, and
Amazon's must not be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.wire import rerank
from headrace.wire.draft import Unsupported
from headrace.wire.embed.bedrock import place
from headrace.wire.operation import drafted, offer_of

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.wire.draft import Draft

VERSION: Final = 2
decode = rerank.decode


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; the model stands in the path alone."""
    body = rerank.fields(context)
    if offer_of(route, "rerank").wire == "bedrock_cohere":
        body["api_version"] = VERSION
    return drafted(context, route, place(route), body, Unsupported(context.params))
