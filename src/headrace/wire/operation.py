"""What the codecs of all operations beside chat have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import RejectedError
from headrace.core.model import Offer
from headrace.wire import reading
from headrace.wire.draft import Draft, merge

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.wire.draft import Unsupported

_USUAL: Final = Offer()
# What of ``SamplingParams`` is for all that can be asked.
_FOR_ALL: Final = frozenset({"extra_body", "extra_headers", "on_unsupported"})
# What is asked, beside the names that no ``extra_body`` may have.
_ASKED: Final = frozenset(
    {
        "content",
        "documents",
        "images",
        "inputImage",
        "inputText",
        "instances",
        "query",
        "requests",
        "texts",
    }
)

# Objects whose fields are options, beside which others may stand.
_OPTIONS: Final = ("embedContentConfig", "parameters")


def offer_of(route: Route, operation: str) -> Offer:
    """How the endpoint of ``route`` does ``operation``."""
    return route.offer(operation) or _USUAL


def leave_out(context: RequestContext, noted: Unsupported) -> None:
    """Note the parameters that say how text is generated, which here is not."""
    for name in () if context.params is None else context.params.given():
        if name not in _FOR_ALL:
            noted.adapt(f"{name} is left out: {context.operation} has none")


def drafted(
    context: RequestContext,
    route: Route,
    path: str,
    body: dict[str, object],
    noted: Unsupported,
) -> Draft:
    """``body`` as JSON to ``path``, or to the endpoint's own; ``extra_body`` is merged in last.

    Raises ``RejectedError`` where it would replace what is asked.
    """
    leave_out(context, noted)
    params = context.params
    extra, headers = (None, None) if params is None else (params.extra_body, params.extra_headers)
    if extra and (taken := _ASKED & body.keys() & extra.keys()):
        msg = f"extra_body cannot replace {', '.join(sorted(taken))}; leave it out"
        raise RejectedError(msg)
    return Draft(
        offer_of(route, context.operation).path or path,
        reading.write(merge(body, extra, within=_OPTIONS)),
        tuple((headers or {}).items()),
        noted.told(),
    )
