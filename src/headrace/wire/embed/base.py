"""What all forms of embeddings have in common: options, vectors, and the answer they make."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode
from math import isfinite
from typing import TYPE_CHECKING, TypeVar, cast

from headrace.core.errors import RejectedError
from headrace.core.operations import Embed, EmbedPack
from headrace.core.response import APIResponse
from headrace.wire import failure, reading
from headrace.wire.operation import offer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.media import Image
    from headrace.core.model import Route
    from headrace.core.operations import Vector
    from headrace.core.reply import Reply
    from headrace.core.response import Usage
    from headrace.wire.draft import Unsupported

T = TypeVar("T")


def asked_of(context: RequestContext) -> Embed | EmbedPack:
    """What is to be embedded; the catalog binds nothing else here."""
    return cast("Embed | EmbedPack", context.asked)


def texts_of(context: RequestContext, route: Route) -> list[str]:
    """The texts; raises ``RejectedError`` for an image, where only texts are taken."""
    asked = asked_of(context)
    if len(asked.texts) < len(asked.inputs):
        msg = f"{route.endpoint.name} embeds no images with {route.model.name}; ask another model"
        raise RejectedError(msg)
    return list(asked.texts)


def alone(inputs: Sequence[T], route: Route) -> T:
    """The one of ``inputs``; raises ``RejectedError`` for several."""
    if len(inputs) > 1:
        msg = f"{route.model.name} embeds one text at a time; give the endpoint's row items = 1"
        raise RejectedError(msg)
    return inputs[0]


def bytes_of(image: Image, route: Route) -> Image:
    """``image``; raises ``RejectedError`` where its bytes are elsewhere."""
    if image.data is None:
        msg = f"{route.endpoint.name} fetches no image to embed; give its bytes, by from_path"
        raise RejectedError(msg)
    return image


def options(context: RequestContext, route: Route, noted: Unsupported) -> dict[str, object]:
    """``dimensions`` and ``input_type`` as the endpoint calls them, where they are given."""
    asked, offer, found = asked_of(context), offer_of(route, "embed"), dict[str, object]()
    if asked.dimensions is not None:
        if "dimensions" in offer.unsupported:
            noted.adapt(f"dimensions is left out: {route.endpoint.name} has none")
        else:
            found[offer.renames.get("dimensions", "dimensions")] = asked.dimensions
    if (word := type_of(context, route, noted)) is not None:
        found[offer.renames.get("input_type", "input_type")] = word
    return found


def type_of(context: RequestContext, route: Route, noted: Unsupported) -> str | None:
    """What ``input_type`` is called there; None where none is given, or it has no word."""
    kind = asked_of(context).input_type
    word = None if kind is None else offer_of(route, "embed").words.get(kind)
    if word is None and kind is not None:
        noted.adapt(f"input_type {kind!r} is left out: {route.endpoint.name} has none")
    return word


def answer(  # noqa: PLR0917 - what a reply held, each part once
    context: RequestContext,
    route: Route,
    reply: Reply,
    data: Mapping[str, object],
    found: Sequence[object],
    usage: Usage | None,
) -> APIResponse[object]:
    """The answer with its vectors: one for one text, a tuple for a pack.

    Raises ``ReplyError`` where there is not one for each text.
    """
    asked = asked_of(context)
    if len(found) != len(asked.inputs):
        said = f"it has {len(found)} vectors for {len(asked.inputs)} texts"
        raise failure.unreadable(reply, said, usage)
    vectors = tuple(vector(each, reply, usage) for each in found)
    sizes = {len(each) for each in vectors}
    if len(sizes) > 1:
        raise failure.unreadable(reply, "its vectors are of different lengths", usage)
    is_other = asked.dimensions is not None and sizes != {asked.dimensions}
    note = f"dimensions is not kept: the vectors have {max(sizes)} numbers"
    return APIResponse(
        adaptations=(note,) if is_other else (),
        parsed=vectors[0] if isinstance(asked, Embed) else vectors,
        usage=usage,
        cost_nanos=reading.reported_cost(data.get("usage")),
        model=reading.text(data.get("model")) or route.model.name,
        request_id=reading.request_id(reply.headers, data),
        reply=reply,
    )


def whole(value: object) -> int | None:
    """A count that may be written as a fraction, as Cohere and Vertex do."""
    is_whole = type(value) is float and value.is_integer()
    return reading.count(int(value) if is_whole else value)  # type: ignore[call-overload]  # a float, if it is whole


def vector(value: object, reply: Reply, usage: Usage | None) -> Vector:
    """Numbers, or the base64 of little-endian ones; raises ``ReplyError`` for anything else."""
    try:
        made = (
            _unpacked(value) if isinstance(value, str) else array("f", cast("list[float]", value))
        )
    except (TypeError, ValueError):
        made = None
    if not made or not isfinite(sum(map(abs, made))):
        raise failure.unreadable(reply, "a vector in it is not made of numbers", usage)
    return made


def _unpacked(text: str) -> Vector:
    made: Vector = array("f")
    made.frombytes(b64decode(text, validate=True))
    if sys.byteorder == "big":
        made.byteswap()
    return made
