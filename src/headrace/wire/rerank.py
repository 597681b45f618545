"""``POST /rerank``, which all who offer it write alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from headrace.core.operations import Ranked, Rerank
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.operation import drafted

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.wire.draft import Draft

PATH: Final = "/rerank"


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; what is unset is not sent."""
    body = {"model": route.model.name, **fields(context)}
    return drafted(context, route, PATH, body, Unsupported(context.params))


def fields(context: RequestContext) -> dict[str, object]:
    """What is asked, wherever the model is."""
    asked = cast("Rerank", context.asked)
    some = {} if asked.top_n is None else {"top_n": asked.top_n}
    return {"query": asked.query, "documents": list(asked.documents), **some}


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The documents, best first; raises ``ReplyError`` for what is no ranking of them."""
    asked, data = cast("Rerank", context.asked), failure.read_object(reply)
    usage, rows = _usage(data), data.get("results")
    if data.get("error"):
        raise failure.from_error_object(data, reply, usage)
    if type(rows) is not list:
        raise failure.unreadable(reply, "it has no results", usage)
    ranked = [_ranked(row, len(asked.documents)) for row in rows]
    found = [each for each in ranked if each is not None]
    if len(found) < len(ranked) or len({each.index for each in found}) < len(found):
        raise failure.unreadable(reply, "a result in it is none of the documents", usage)
    billed = reading.block(reading.block(data.get("meta")).get("billed_units")) or reading.block(
        data.get("usage")
    )
    searches = billed.get("search_units")
    found.sort(key=lambda each: -each.score)
    return APIResponse(
        # Some servers rank all, whatever is asked.
        parsed=tuple(found[: asked.top_n]),
        usage=usage,
        cost_nanos=reading.reported_cost(data.get("usage")),
        model=reading.text(data.get("model")) or route.model.name,
        request_id=reading.request_id(reply.headers, data),
        metadata=NOTHING if searches is None else {"search_units": searches},
        reply=reply,
    )


def _ranked(row: object, count: int) -> Ranked | None:
    index = reading.block(row).get("index")
    score = reading.block(row).get("relevance_score", reading.block(row).get("score"))
    if type(index) is not int or not 0 <= index < count or type(score) not in {int, float}:
        return None
    return Ranked(index, float(cast("float", score)))


def _usage(data: dict[str, object]) -> Usage | None:
    billed = reading.block(data.get("usage"))
    count = reading.count(billed.get("prompt_tokens", billed.get("total_tokens")))
    return None if count is None else Usage(count)
