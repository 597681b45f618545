"""``POST /audio/transcriptions``: a form with the sound in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from headrace.core.media import BY_SUFFIX
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import failure, reading
from headrace.wire.draft import Draft, Unsupported
from headrace.wire.form import form
from headrace.wire.operation import leave_out, offer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.operations import Transcribe
    from headrace.core.reply import Reply

PATH: Final = "/audio/transcriptions"
_NOTED: Final = ("language", "languages", "duration", "segments", "words")
_SUFFIXES: Final = {kind: suffix for suffix, kind in BY_SUFFIX.items()}


def encode(context: RequestContext, route: Route) -> Draft:
    """The request; ``extra_body`` is merged into the form's fields last."""
    asked, noted = cast("Transcribe", context.asked), Unsupported(context.params)
    offer, fields = offer_of(route, asked.name), {"model": route.model.name}
    for name in ("language", "prompt"):
        value = getattr(asked, name)
        if value is None:
            continue
        if name in offer.unsupported:
            noted.adapt(f"{name} is left out: {route.endpoint.name} has none")
        else:
            fields[offer.renames.get(name, name)] = value
    leave_out(context, noted)
    params = context.params
    extra = {} if params is None else params.extra_body or {}
    fields |= {name: _written(value) for name, value in extra.items()}
    kind = asked.audio.media_type or "audio/mpeg"
    # Some servers tell the format by the name.
    made = form(fields, f"audio.{_SUFFIXES.get(kind, 'mp3')}", asked.audio.data or b"", kind)
    headers = {} if params is None else params.extra_headers or {}
    return Draft(
        offer.path or PATH, made.body, tuple(headers.items()), noted.told(), made.content_type
    )


def _written(value: object) -> str:
    return value if isinstance(value, str) else reading.write({"": value})[4:-1].decode()


def decode(context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
    """What was said; raises ``ReplyError`` for what is no text."""
    del context
    data = failure.read_object(reply)
    billed = reading.block(data.get("usage"))
    usage, said = _usage(billed), data.get("text")
    if data.get("error"):
        raise failure.from_error_object(data, reply, usage)
    if type(said) is not str:
        raise failure.unreadable(reply, "it has no text", usage)
    noted = {name: data[name] for name in _NOTED if data.get(name)}
    seconds = billed.get("seconds", billed.get("prompt_audio_seconds"))
    if seconds is not None:
        noted["seconds"] = seconds
    return APIResponse(
        completion=said,
        usage=usage,
        cost_nanos=reading.reported_cost(billed),
        finish_reason="stop",
        model=reading.text(data.get("model")) or route.model.name,
        request_id=reading.request_id(reply.headers, data),
        metadata=noted or NOTHING,
        logprobs=data.get("logprobs"),
        reply=reply,
    )


def _usage(billed: Mapping[str, object]) -> Usage | None:
    prompt = reading.count(billed.get("input_tokens", billed.get("prompt_tokens")))
    output = reading.count(billed.get("output_tokens", billed.get("completion_tokens")))
    return None if prompt is None or output is None else Usage(prompt, output)
