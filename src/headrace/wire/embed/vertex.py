"""Vertex's ``predict`` with the bodies of its models for text."""

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
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; each text brings what it is for."""
    noted, texts = Unsupported(context.params), base.texts_of(context, route)
    word = base.type_of(context, route, noted)
    more = {} if word is None else {"task_type": word}
    body: dict[str, object] = {"instances": [{"content": text, **more} for text in texts]}
    if (dimensions := base.asked_of(context).dimensions) is not None:
        body["parameters"] = {"outputDimensionality": dimensions}
    return drafted(context, route, f"/models/{segment(route.model.name)}:predict", body, noted)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vectors, in the order of the texts; raises ``ReplyError`` for what are none."""
    data, rows = predictions(reply)
    made = [reading.block(row.get("embeddings")) for row in rows]
    counts = [base.whole(reading.block(m.get("statistics")).get("token_count")) for m in made]
    known = [count for count in counts if count is not None]
    usage = Usage(sum(known)) if known and len(known) == len(counts) else None
    found = [each.get("values") for each in made]
    return base.answer(context, route, reply, data, found, usage)


def predictions(reply: Reply) -> tuple[dict[str, object], list[dict[str, object]]]:
    """The whole answer, and what it says of each input; raises ``ReplyError`` where it has none."""
    data = failure.read_object(reply)
    items = data.get("predictions")
    if data.get("error"):
        raise failure.from_error_object(data, reply, None)
    if type(items) is not list:
        raise failure.unreadable(reply, "it has no predictions", None)
    return data, [reading.block(item) for item in items]
