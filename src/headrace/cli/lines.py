"""What a line of the output holds: a table for each command."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.core.parts import ToolCall
    from headrace.core.response import APIResponse


class Columns(NamedTuple):
    """The columns of every line, and those of lines that have something in them.

    ``answer`` is the one that is asked for.
    """

    answer: str
    always: tuple[str, ...]
    if_any: tuple[str, ...]


COMPLETIONS: Final = Columns(
    answer="completion",
    always=(
        *("id", "completion", "model", "usage", "cost"),
        *("finish_reason", "source", "attempts", "error"),
    ),
    if_any=("tool_calls", "thinking", "parsed", "tags", "adaptations"),
)
EMBEDDINGS: Final = Columns(
    answer="embedding",
    always=("id", "embedding", "model", "usage", "cost", "source", "attempts", "error"),
    if_any=("tags", "adaptations"),
)


def line_of(response: APIResponse[object], columns: Columns = COMPLETIONS) -> bytes:
    """One row of the output, with its newline."""
    row = {name: _value(response, name) for name in columns.always}
    for name in columns.if_any:
        value = _value(response, name)
        if value is not None:
            row[name] = value
    return _dump(row)


def _value(response: APIResponse[object], name: str) -> object:
    own = _OWN.get(name)
    return getattr(response, name) if own is None else own(response)


def _usage(response: APIResponse[object]) -> object:
    return None if response.usage is None else response.usage.to_dict()


def _error(response: APIResponse[object]) -> object:
    return None if response.error is None else response.error.to_dict()


def _embedding(response: APIResponse[object]) -> object:
    vector = response.parsed
    return vector.tolist() if isinstance(vector, array) else None


def _calls(response: APIResponse[object]) -> object:
    return [_call(call) for call in response.tool_calls] or None


def _adaptations(response: APIResponse[object]) -> object:
    return response.adaptations or None


def _call(call: ToolCall) -> dict[str, str]:
    said = {"id": call.id, "name": call.name, "arguments": call.arguments}
    return said if call.kind == "function" else {**said, "kind": call.kind}


_OWN: Final[Mapping[str, Callable[[APIResponse[object]], object]]] = {
    "usage": _usage,
    "error": _error,
    "embedding": _embedding,
    "tool_calls": _calls,
    "adaptations": _adaptations,
}


def _dump(row: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(row, str, orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # lone surrogates, which stand as \udXXX, or whole numbers beyond 64 bits
        return json.dumps(row, default=str).encode() + b"\n"
