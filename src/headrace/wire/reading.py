r"""Reading what servers write, and writing what we send: JSON, counts, and text fit to be shown.

JSON is read strictly (no NaN, no overflow, a repeated name: the last one wins, 1,024 levels deep at
most), but for two things that would lose a paid answer: a byte order mark is skipped, and the
escape of a lone surrogate (``\ud800`` without its partner), which no UTF-8 can hold, reads as
U+FFFD.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.errors import RejectedError
from headrace.core.media import Image
from headrace.core.parts import Text, ToolCall
from headrace.core.prices import nanos

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.core.conversation import Message
    from headrace.core.params import SamplingParams
    from headrace.core.parts import Part

LARGEST_COUNT: Final = 2**53
SHOWN: Final = 200
_IDS: Final = ("x-request-id", "request-id", "x-amzn-requestid")
_BOM: Final = b"\xef\xbb\xbf"
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_SECRET: Final = re.compile(
    r"(?i:(?:api[-_ ]?key|authorization|access[-_ ]?token)(?:\s+(?:is|provided))?"
    r"""["'`]?\s*[:=]\s*["'`]?(?:bearer\s+)?[^\s"'`,;}]{4,})"""
    r"|(?i:bearer)\s+\S{6,}"
    r"|\b(?:sk|pk|rk|gsk|csk|xai|hf|fw|r8|nvapi|pplx|tgp)[-_][-_.*A-Za-z0-9]{6,}"
    r"|\b(?:AIza|AKIA|eyJ)[-_.*A-Za-z0-9]{8,}"
    r"|\b(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{32,}\b"
)


def load(body: bytes) -> dict[str, object] | None:
    """The JSON object that ``body`` is; None where it is anything else."""
    try:
        data: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = _mend(body)
    return data if type(data) is dict else None


def _mend(body: bytes) -> object:
    if not body.startswith(_BOM) and b"\\u" not in body:
        return None
    body = _ESCAPE.sub(_without_lone_surrogate, body.removeprefix(_BOM))
    try:
        data: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return data


def _without_lone_surrogate(found: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if found["lone"] else found[0]


def write(body: Mapping[str, object]) -> bytes:
    """``body`` as JSON bytes; raises ``RejectedError`` where a value has no JSON form."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        msg = (
            f"the request cannot be written as JSON ({clean(str(error))}); check the values of"
            " extra_body, seed and stop"
        )
        raise RejectedError(msg) from None


def count(value: object) -> int | None:
    """A number of tokens; None for what is none: text, fractions, negative or absurd numbers."""
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def optional_count(value: object) -> int | None:
    """As ``count``, but a missing number is 0."""
    return 0 if value is None else count(value)


def reported_cost(billed: object) -> int | None:
    """What a provider says in its usage that the request cost, in nano-dollars; None: it does not.

    xAI counts ticks of 1e-10 USD, OpenRouter gives USD. Where the user's own key at a vendor was
    used, OpenRouter's number is its fee only, and the vendor's stands in the details.
    """
    if type(billed) is not dict:
        return None
    if (ticks := billed.get("cost_in_usd_ticks")) is not None:
        return None if (ticks := count(ticks)) is None else (ticks + 5) // 10
    said = billed.get("cost")
    cost = None if said is None else nanos(said)
    if cost is None or billed.get("is_byok") is not True:
        return cost
    vendors = nanos(block(billed.get("cost_details")).get("upstream_inference_cost"))
    return None if vendors is None else cost + vendors


def block(value: object) -> dict[str, object]:
    """``value`` if it is a JSON object, else an empty one."""
    return value if type(value) is dict else {}


def text(value: object) -> str | None:
    """``value`` if it is a text that is not empty."""
    return value if type(value) is str and value else None


def request_id(headers: Mapping[str, str], data: Mapping[str, object]) -> str | None:
    """What the provider calls this exchange: by header, else by the ``id`` in the body."""
    return next(filter(None, map(headers.get, _IDS)), None) or text(data.get("id"))


def tool_call(identity: object, name: object, arguments: object) -> ToolCall | None:
    """One call; arguments that came as JSON values are written as text. None: unreadable."""
    if not text(name):
        return None
    if type(arguments) is not str:
        try:
            arguments = orjson.dumps({} if arguments is None else arguments).decode()
        except TypeError:  # deeper than orjson writes
            return None
    return ToolCall(identity if type(identity) is str else "", str(name), arguments)


def refuse_images(message: Message) -> None:
    """Raise ``RejectedError`` for a system message with an image, which no dialect carries."""
    if type(message.content) is tuple and any(type(p) is Image for p in message.content):
        msg = "a system message holds an image; put it into a message of the user"
        raise RejectedError(msg)


def refuse(params: SamplingParams, names: tuple[str, ...], who: str) -> None:
    """Raise ``RejectedError`` where one of ``names`` is set, which ``who`` does not know."""
    for name in names:
        if getattr(params, name) is not None:
            msg = f"{who} knows no {name}; unset it for this model"
            raise RejectedError(msg)


def parts(message: Message, image: Callable[[Image], dict[str, object]]) -> list[object]:
    """The content as a list of blocks; ``image`` says how the dialect writes one."""
    return [
        {"type": "text", "text": part.text} if isinstance(part, Text) else image(an_image(part))
        for part in message.parts
    ]


def an_image(part: Part) -> Image:
    """``part`` if it is an image; raises ``RejectedError`` where it is what no codec carries."""
    if isinstance(part, Image):
        return part
    msg = f"this API carries no {type(part).__name__}; leave it out for this model"
    raise RejectedError(msg)


def clean(said: str, most: int = SHOWN) -> str:
    """At most ``most`` characters in one line, all printable, and no API keys."""
    seen = "".join(char if char.isprintable() else " " for char in said[: most * 8])
    line = _SECRET.sub("***", " ".join(seen.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def snippet(body: bytes) -> str:
    """The beginning of a body as text fit to be shown, at most ``SHOWN`` characters."""
    return clean(body[: SHOWN * 8].decode("utf-8", "replace"))
