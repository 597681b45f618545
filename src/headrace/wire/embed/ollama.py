"""Ollama's own ``/api/embed``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.response import Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.embed import base
from headrace.wire.operation import drafted

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Draft

PATH: Final = "/api/embed"


def encode(context: RequestContext, route: Route) -> Draft:
    """The request."""
    noted = Unsupported(context.params)
    texts = base.texts_of(context, route)
    body = {"model": route.model.name, "input": texts, **base.options(context, route, noted)}
    return drafted(context, route, PATH, body, noted)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The vectors, in the order of the texts; raises ``ReplyError`` for what are none."""
    data = failure.read_object(reply)
    count, found = reading.count(data.get("prompt_eval_count")), data.get("embeddings")
    usage = None if count is None else Usage(count)
    if type(found) is not list:
        raise failure.unreadable(reply, "it has no embeddings", usage)
    return base.answer(context, route, reply, data, found, usage)
