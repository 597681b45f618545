"""``POST /audio/speech``: text in, sound out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from headrace.core.errors import RejectedError
from headrace.core.media import BY_SUFFIX, Audio, sniff
from headrace.core.response import APIResponse
from headrace.wire import complaint, failure, reading
from headrace.wire.draft import Unsupported
from headrace.wire.operation import drafted, offer_of

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.operations import Speak
    from headrace.core.reply import Reply
    from headrace.wire.draft import Draft

PATH: Final = "/audio/speech"
# Of ours, and what OpenAI calls it.
_FIELDS: Final = {
    "voice": "voice",
    "format": "response_format",
    "speed": "speed",
    "instructions": "instructions",
}


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; what is unset is not sent. Raises ``RejectedError`` without what it needs."""
    asked, noted = cast("Speak", context.asked), Unsupported(context.params)
    offer = offer_of(route, asked.name)
    extra = {} if context.params is None else context.params.extra_body or {}
    for name in () if route.endpoint.lenient else offer.needs:
        if getattr(asked, name, None) is None and offer.renames.get(name, name) not in extra:
            msg = f"{route.endpoint.name} reads nothing out without a {name}; give {name}=, with"
            raise RejectedError(f"{msg} a name that its documentation lists")
    body: dict[str, object] = {"model": route.model.name, "input": asked.text}
    for name, usual in _FIELDS.items():
        value = getattr(asked, name)
        if value is None:
            continue
        if name in offer.unsupported:
            noted.adapt(f"{name} is left out: {route.endpoint.name} has none")
        else:
            body[offer.renames.get(name, usual)] = value
    return drafted(context, route, PATH, body, noted)


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """The sound; raises ``ReplyError`` where the body is text."""
    asked = cast("Speak", context.asked)
    if not reply.body or complaint.is_page(reply.body):
        raise failure.unreadable(reply, "it is no sound")
    data = reading.load(reply.body)
    if data is not None:
        raise failure.from_error_object(data, reply)
    kind = sniff(reply.body) or ""
    named = asked.format or "mp3"
    usual = BY_SUFFIX.get(named, f"audio/{named}")
    return APIResponse(
        parsed=Audio(data=reply.body, media_type=kind if kind.startswith("audio/") else usual),
        model=route.model.name,
        request_id=reading.request_id(reply.headers, {}),
        reply=reply,
    )
