"""``POST /moderations``, as OpenAI and Mistral speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from headrace.core.operations import Moderate, Moderation
from headrace.core.response import APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.operation import drafted

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.wire.draft import Draft

PATH: Final = "/moderations"


def encode(context: RequestContext, route: Route) -> Draft:
    """The request."""
    asked = cast("Moderate", context.asked)
    body: dict[str, object] = {"model": route.model.name, "input": asked.input}
    return drafted(context, route, PATH, body, Unsupported(context.params))


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The judgement; raises ``ReplyError`` for what is none."""
    del context
    data = failure.read_object(reply)
    count, rows = reading.count(reading.block(data.get("usage")).get("prompt_tokens")), None
    usage = None if count is None else Usage(count)
    if data.get("error"):
        raise failure.from_error_object(data, reply, usage)
    rows = data.get("results")
    row = reading.block(rows[0]) if type(rows) is list and rows else {}
    named, scores = row.get("categories"), row.get("category_scores")
    if type(named) is not dict or type(scores) is not dict:
        raise failure.unreadable(reply, "it has no categories", usage)
    categories = {str(name): value is True for name, value in named.items()}
    flagged = row.get("flagged")
    return APIResponse(
        parsed=Moderation(
            # Mistral names the categories, and leaves the sum to the reader.
            flagged if type(flagged) is bool else any(categories.values()),
            categories,
            {str(n): float(s) for n, s in scores.items() if type(s) in {int, float}},
        ),
        usage=usage,
        model=reading.text(data.get("model")) or route.model.name,
        request_id=reading.request_id(reply.headers, data),
        reply=reply,
    )
