"""What a tool gave back, as the result that the model gets, and as JSON text for a journal."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson
from pydantic import ConfigDict, TypeAdapter

from headrace.core.media import File, Image
from headrace.core.parts import Text, ToolResult

if TYPE_CHECKING:
    from headrace.core.parts import ToolCall

_ANY: Final[TypeAdapter[object]] = TypeAdapter(
    object, config=ConfigDict(ser_json_inf_nan="strings", arbitrary_types_allowed=True)
)
_MEDIA: Final[dict[str, type[Image | File]]] = {"image": Image, "file": File}


def result_of(call: ToolCall, value: object) -> ToolResult:
    """The result of a call: text, images and files as they are, everything else as JSON.

    Raises ``ValueError`` for what cannot be sent.
    """
    if isinstance(value, ToolResult):
        return replace(value, id=call.id, name=value.name or call.name)
    if isinstance(value, str):
        return ToolResult(call.id, value, call.name)
    if isinstance(value, Text | Image | File):
        return ToolResult(call.id, (value,), call.name)
    if isinstance(value, list | tuple) and any(isinstance(v, Text | Image | File) for v in value):
        parts = tuple(Text(each) if isinstance(each, str) else each for each in value)
        return ToolResult(call.id, parts, call.name)
    return ToolResult(call.id, _as_json(value), call.name)


def _as_json(value: object) -> str:
    try:
        return _ANY.dump_json(value).decode()
    except (ValueError, RecursionError) as error:
        msg = f"what the tool gave back cannot be written as JSON: {error}"
        raise ValueError(msg) from None


def failed_result(call: ToolCall, said: str) -> ToolResult:
    """What the model is told when a call came to nothing."""
    told = said.encode(errors="replace").decode()  # an error may quote what is no Unicode
    return ToolResult(call.id, told, call.name, is_error=True)


def dump_result(result: ToolResult) -> str:
    """A result as JSON text."""
    content = result.content
    said = content if isinstance(content, str) else [_dumped(part) for part in content]
    form = {"id": result.id, "name": result.name, "is_error": result.is_error, "content": said}
    return orjson.dumps(form).decode()


def load_result(text: str) -> ToolResult:
    """Read it again; raises ``ValueError`` for what is none."""
    try:
        form = orjson.loads(text)
        said = form["content"]
        content = said if isinstance(said, str) else tuple(_loaded(part) for part in said)
        return ToolResult(form["id"], content, form["name"], form["is_error"])
    except (KeyError, TypeError) as error:
        msg = f"this is no result of a tool: {error}"
        raise ValueError(msg) from None


def _dumped(part: Text | Image | File) -> dict[str, str | None]:
    if isinstance(part, Text):
        return {"kind": "text", "text": part.text}
    own = ("detail", part.detail) if isinstance(part, Image) else ("name", part.name)
    return {
        "kind": "image" if isinstance(part, Image) else "file",
        "data": None if part.data is None else b64encode(part.data).decode(),
        "media_type": part.media_type,
        "url": part.url,
        "file_id": part.file_id,
        own[0]: own[1],
    }


def _loaded(form: dict[str, str | None]) -> Text | Image | File:
    kind = form.pop("kind")
    if kind == "text":
        return Text(form["text"] or "")
    data = form.pop("data")
    made: Image | File = _MEDIA[str(kind)](data=None if data is None else b64decode(data), **form)
    return made
