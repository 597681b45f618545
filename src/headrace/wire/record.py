r"""An answer as JSON bytes and back: what caches keep. Pure; no class tags, nothing to run.

A record is one object, ``{"v": 1, "completion": …, "usage": [input, output, cache read, cache
write, reasoning], "tool_calls": [[id, name, arguments], …], "metadata": {…}, …}``; what is None or
empty is left out. Parts of an answer that is more than text stand in ``"content"``, each as its
kind and its fields; a value that is no text (a vector, audio) in ``"value"``. Strings with lone
surrogates, which no UTF-8 can hold, are kept by an escape:
such a record has ``"escaped": true``, and in each of its strings a surrogate stands as ``\udXXX``
(six characters) and a backslash as two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Final, TypedDict, cast

import orjson

from headrace.core.parts import Opaque, Part, Text, Thinking, ToolCall
from headrace.core.response import NOTHING, APIResponse, Usage
from headrace.wire import values

VERSION: Final = 1
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_TO_ESCAPE: Final = re.compile(r"[\\\ud800-\udfff]")
_ESCAPED: Final = re.compile(r"\\(?:\\|u(d[89a-f][0-9a-f]{2}))")
_TEXT: Final = (str, NoneType)
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "completion": _TEXT,
    "thinking": _TEXT,
    "finish_reason": _TEXT,
    "model": _TEXT,
    "provider": _TEXT,
    "route": _TEXT,
    "request_id": _TEXT,
    "cost_nanos": (int, NoneType),
    "latency": (float, int, NoneType),
    "attempts": (int, NoneType),
    "uncertain_attempts": (int, NoneType),
    "usage": (list, NoneType),
    "tool_calls": (list, NoneType),
    "metadata": (dict, NoneType),
    "content": (list, NoneType),
    "adaptations": (list, NoneType),
    "value": (list, NoneType),
}
_PLAIN: Final = tuple(_KINDS)[:10]
_PARTS: Final[dict[str, type[Part]]] = {
    "text": Text,
    "thinking": Thinking,
    "tool_call": ToolCall,
    "opaque": Opaque,
}
_KIND: Final[dict[type, str]] = {made: name for name, made in _PARTS.items()}
# How many fields each may have, and how many of them are texts and not None.
_LENGTHS: Final = {"text": (1, 1), "thinking": (3, 1), "tool_call": (5, 3), "opaque": (2, 2)}


class _Record(TypedDict, total=False):
    completion: str
    thinking: str
    finish_reason: str
    model: str
    provider: str
    route: str
    request_id: str
    cost_nanos: int
    latency: float
    attempts: int
    uncertain_attempts: int
    usage: list[int]
    tool_calls: list[list[str]]
    metadata: dict[str, object]
    content: list[list[str]]
    adaptations: list[str]
    logprobs: object
    value: list[object]


def dump(response: APIResponse[object]) -> bytes:
    """Write what the provider's answer holds, without what belongs to one row of one run.

    Left out: ``id``, ``index``, ``sample``, ``tags``, ``source``, ``error``, ``reply``, and what a
    schema made of the text, which makes it again.
    Raises ``ValueError`` where ``metadata`` holds what JSON cannot (NaN and infinity become null).
    """
    form = _form(response)
    try:
        return orjson.dumps(form, _as_dict, _OPTIONS)
    except TypeError:
        return _dump_escaped(form)


def load(data: bytes) -> APIResponse[object]:
    """Read a record; ``ValueError`` for whatever is not one, or is of a version not known here."""
    form = orjson.loads(data)
    version = form.get("v") if isinstance(form, dict) else None
    if type(version) is not int or version != VERSION:
        msg = f"this is no record of version {VERSION}; treat it as a miss"
        raise ValueError(msg)
    if form.get("escaped") is True:
        form = _map_strings(form, _unescape)
    return _response(_checked(form))


def _form(response: APIResponse[object]) -> dict[str, object]:
    form: dict[str, object] = {"v": VERSION}
    for name in _PLAIN:
        value = getattr(response, name)
        if value is not None:
            form[name] = value
    if (usage := response.usage) is not None:
        form["usage"] = (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )
    form.update((name, value) for name, value in _richer(response) if value)
    if response.logprobs is not None:
        form["logprobs"] = response.logprobs
    if response.parsed is not None and (value := values.dump(response.parsed)) is not None:
        form["value"] = value
    return form


def _richer(response: APIResponse[object]) -> Iterator[tuple[str, object]]:
    """What only some answers have."""
    yield "tool_calls", [_fields_of(call) for call in response.tool_calls]
    yield "metadata", dict(response.metadata)
    yield "content", [(_KIND[type(part)], *_fields_of(part)) for part in response.content]
    yield "adaptations", response.adaptations
    yield "uncertain_attempts", response.uncertain_attempts


def _fields_of(part: Part) -> tuple[str | None, ...]:
    match part:
        case ToolCall(kind="function", signature=None):
            return (part.id, part.name, part.arguments)
        case ToolCall():
            return (part.id, part.name, part.arguments, part.kind, part.signature)
        case Text():
            return (part.text,)
        case Thinking():
            return (part.text, part.signature, part.wire)
        case Opaque():
            return (part.wire, part.json)
    msg = f"an answer holds no {type(part).__name__}"
    raise ValueError(msg)


def _dump_escaped(form: dict[str, object]) -> bytes:
    try:
        escaped = cast("dict[str, object]", _map_strings(form, _escape))
        return orjson.dumps({**escaped, "escaped": True}, _as_dict, _OPTIONS)
    except (TypeError, RecursionError) as error:
        msg = f"the answer holds something that JSON cannot: {error}"
        raise ValueError(msg) from error


def _as_dict(value: object) -> dict[object, object]:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} is not JSON"
    raise TypeError(msg)


def _map_strings(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_map_strings(k, change): _map_strings(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_map_strings(item, change) for item in value]
    return value


def _escape(text: str) -> str:
    return _TO_ESCAPE.sub(_escape_one, text)


def _escape_one(match: re.Match[str]) -> str:
    character = match[0]
    return "\\\\" if character == "\\" else f"\\u{ord(character):04x}"


def _unescape(text: str) -> str:
    return _ESCAPED.sub(_unescape_one, text)


def _unescape_one(match: re.Match[str]) -> str:
    return "\\" if match[1] is None else chr(int(match[1], 16))


def _checked(form: dict[str, object]) -> _Record:
    for name, kinds in _KINDS.items():
        if type(form.get(name)) not in kinds:
            raise _wrong(name)
    record = cast("_Record", form)
    if (usage := record.get("usage")) is not None:
        _check_items("usage", usage, int, 5)
    for call in record.get("tool_calls") or ():
        _check_part("tool_calls", call, "tool_call")
    for part in record.get("content") or ():
        if not isinstance(part, list) or not part or part[0] not in _PARTS:
            raise _wrong("content")
        _check_part("content", part[1:], part[0])
    _check_texts("adaptations", record.get("adaptations") or [])
    return record


def _check_part(name: str, fields: object, kind: str) -> None:
    most, least = _LENGTHS[kind]
    if not isinstance(fields, list) or not least <= len(fields) <= most:
        raise _wrong(name)
    _check_texts(name, [field for n, field in enumerate(fields) if n < least or field is not None])


def _check_texts(name: str, items: Sequence[object]) -> None:
    if not all(type(item) is str for item in items):
        raise _wrong(name)


def _check_items(name: str, items: object, kind: type, count: int) -> None:
    if not isinstance(items, list) or [type(item) for item in items] != [kind] * count:
        raise _wrong(name)


def _wrong(name: str) -> ValueError:
    return ValueError(f"the record's {name} is not what a record holds; treat it as a miss")


def _part(kind: str, *fields: str) -> Part:
    made: Callable[..., Part] = _PARTS[kind]
    return made(*fields)


def _response(record: _Record) -> APIResponse[object]:
    usage = record.get("usage")
    return APIResponse(
        completion=record.get("completion"),
        thinking=record.get("thinking"),
        tool_calls=tuple(ToolCall(*call) for call in record.get("tool_calls") or ()),
        usage=None if usage is None else Usage(*usage),
        cost_nanos=record.get("cost_nanos"),
        finish_reason=record.get("finish_reason"),
        model=record.get("model"),
        provider=record.get("provider"),
        route=record.get("route"),
        request_id=record.get("request_id"),
        content=tuple(_part(*part) for part in record.get("content") or ()),
        metadata=record.get("metadata") or NOTHING,
        logprobs=record.get("logprobs"),
        parsed=None if (value := record.get("value")) is None else values.load(value),
        adaptations=tuple(record.get("adaptations") or ()),
        attempts=record.get("attempts") or 0,
        uncertain_attempts=record.get("uncertain_attempts") or 0,
        latency=record.get("latency"),
    )
