"""``POST /embeddings``, as OpenAI and every compatible server speak it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.response import Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.embed import base
from headrace.wire.operation import drafted, offer_of

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft

PATH: Final = "/embeddings"


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; what is unset is not sent."""
    noted = Unsupported(context.params)
    encoding = offer_of(route, "embed").encoding
    body = {
        "model": route.model.name,
        "input": base.texts_of(context, route),
        **({} if encoding is None else {"encoding_format": encoding}),
        **base.options(context, route, noted),
    }
    return drafted(context, route, PATH, body, noted)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vectors, in the order of the texts; raises ``ReplyError`` for what are none."""
    data = failure.read_object(reply)
    usage, items = _usage(data.get("usage")), data.get("data")
    if data.get("error"):
        raise failure.from_error_object(data, reply, usage)
    if type(items) is not list:
        raise failure.unreadable(reply, "it has no data", usage)
    rows = [reading.block(item) for item in items]
    places = [row.get("index") for row in rows]
    if any(place is not None for place in places):
        if sorted(p for p in places if type(p) is int) != list(range(len(rows))):
            raise failure.unreadable(reply, "its vectors are not each of one text", usage)
        rows.sort(key=lambda row: reading.count(row["index"]) or 0)
    found = [row.get("embedding") for row in rows]
    return base.answer(context, route, reply, data, found, usage)


def _usage(billed: object) -> Usage | None:
    prompt = reading.count(reading.block(billed).get("prompt_tokens"))
    return None if prompt is None else Usage(prompt)
