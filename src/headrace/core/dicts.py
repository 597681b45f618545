"""Messages as OpenAI and Anthropic write them in dicts, read into parts."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias, TypeGuard, TypeVar, cast

import orjson

from headrace.core.errors import BadRowError
from headrace.core.media import Audio, File, Image
from headrace.core.parts import (
    PARTS,
    TTLS,
    CacheBreakpoint,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from headrace.core.plain import kind_of, plain

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Block: TypeAlias = Mapping[str, object]
ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_Kind = TypeVar("_Kind", Image, File)
# What only a tool's result has.
_RESULTS: Final = frozenset({"tool_call_id", "tool_use_id"})
# What Anthropic alone does with a document.
_OF_DOCUMENTS: Final = ("citations", "context")
_FORMATS: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def read_role(role: object) -> Role:
    """One of the four roles; ``developer`` is another word for system."""
    known = ROLES.get(role) if isinstance(role, str) else None
    if known is None:
        shown = reprlib.repr(role)
        msg = f"the role of a message must be system, user, assistant or tool, not {shown}"
        raise BadRowError(msg)
    return known


def read_message(data: object) -> tuple[Role, str | tuple[Part, ...], str | None]:
    """Role, content and name of a ``{"role", "content"}`` dict; raises ``BadRowError``."""
    if not isinstance(data, Mapping):
        msg = f'a message must be an object with "role" and "content", not {kind_of(data)}'
        raise BadRowError(msg)
    role, content = read_role(data.get("role")), data.get("content")
    if role == "tool" and "tool_call_id" in data:
        return role, (_tool_message(data, content), *_marks(data)), None
    if data.get("function_call"):
        msg = "a message with function_call cannot be sent; leave function_call out"
        raise BadRowError(msg)
    name = cast("str | None", data.get("name") or None)
    if role != "assistant":
        return role, cast("str | tuple[Part, ...]", content), name
    before, after = tuple(_thoughts(data)), _calls(data.get("tool_calls"))
    if not before and not after:
        return role, cast("str | tuple[Part, ...]", content), name
    said = () if content in (None, "", []) else read_parts(content, role)
    return role, (*before, *said, *after), name


def read_parts(content: object, role: str) -> tuple[Part, ...]:
    """The parts of a content that is a text or a list; raises ``BadRowError``."""
    if isinstance(content, str):
        return (Text(content),)
    if not is_list(content) or not content:
        msg = f"the content of a {role} message must be text or a list of parts, not "
        raise BadRowError(msg + ("an empty list" if content == [] else kind_of(content)))
    return tuple(part for item in content for part in _read_part(item))


def is_list(content: object) -> TypeGuard[Sequence[object]]:
    """Is it a sequence that is no text?"""
    return isinstance(content, Sequence) and not isinstance(content, str | bytes | bytearray)


def _read_part(item: object) -> Iterator[Part]:
    if isinstance(item, PARTS):
        yield item
        return
    if not isinstance(item, Mapping):
        msg = f"a part of a message must be an object with a type, not {kind_of(item)}"
        raise BadRowError(msg)
    kind = item.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        known = "text, images, audio, files, tool calls and results and thinking can"
        msg = f"a part of type {reprlib.repr(kind)} cannot be read; {known}"
        raise BadRowError(msg)
    yield reader(item)
    yield from _marks(item)


def _marks(item: Block) -> Sequence[Part]:
    """The mark for the cache at the end of a block; of a tool's result, also one within it."""
    for name in ("cache_control", "prompt_cache_breakpoint"):
        if isinstance(mark := item.get(name), Mapping):
            ttl = mark.get("ttl")
            return (CacheBreakpoint(cast("Any", ttl) if ttl in TTLS else None),)
    if not (_RESULTS & item.keys() and is_list(content := item.get("content"))):
        return ()
    return [mark for part in content if isinstance(part, Mapping) for mark in _marks(part)][-1:]


# OpenAI's.


def _thoughts(data: Block) -> Iterator[Part]:
    said = data.get("reasoning_content") or data.get("reasoning")
    if isinstance(said, str):
        yield Thinking(plain(said))
    details = data.get("reasoning_details")
    if isinstance(details, list) and details:
        yield _opaque("openai_chat", {"reasoning_details": details})


def _calls(found: object) -> tuple[ToolCall, ...]:
    if not found:
        return ()
    if not is_list(found):
        raise BadRowError(f"tool_calls must be a list of calls, not {kind_of(found)}")
    return tuple(_call(item) for item in found)


def _call(item: object) -> ToolCall:
    if isinstance(item, ToolCall):
        return item
    call = item if isinstance(item, Mapping) else {}
    kind = "custom" if isinstance(call.get("custom"), Mapping) else "function"
    inner = call.get(kind)
    given = inner if isinstance(inner, Mapping) else {}
    arguments = given.get("input" if kind == "custom" else "arguments")
    return tool_call(call.get("id"), given.get("name"), arguments, kind)


def tool_call(
    identity: object, name: object, arguments: object, kind: str = "function"
) -> ToolCall:
    """A call from its fields; arguments that are values are written as JSON text."""
    if not isinstance(name, str) or not name:
        msg = "a tool call needs an id, a name and arguments: its name is missing"
        raise BadRowError(msg)
    if not isinstance(arguments, str):
        given = {} if arguments is None else arguments
        arguments = _written(given, f"what is given in the call of {name:.80}")
    return ToolCall(plain(identity or ""), plain(name), plain(arguments), kind)


def _tool_message(data: Block, content: object) -> ToolResult:
    name = data.get("name")
    return tool_result(data.get("tool_call_id"), content, None if name is None else plain(name))


def tool_result(
    identity: object, content: object, name: str | None = None, *, is_error: bool = False
) -> ToolResult:
    """A result from its fields."""
    if not isinstance(identity, str) or not identity:
        msg = "a tool result needs the id of the call that it answers"
        raise BadRowError(msg)
    if content is None or content == []:
        content = ""
    if not isinstance(content, str):
        parts = read_parts(content, "tool")
        content = tuple(part for part in parts if not isinstance(part, CacheBreakpoint))
    return ToolResult(identity, cast("str", content), name, is_error)


def _image_url(part: Block) -> Part:
    value = part.get("image_url")
    given = value if isinstance(value, Mapping) else {"url": value, "detail": part.get("detail")}
    url, detail = given.get("url"), given.get("detail")
    if isinstance(file_id := part.get("file_id"), str):
        image = Image(file_id=file_id)
        detail = part.get("detail")
    elif isinstance(url, str):
        image = Image.from_url(url)
    else:
        msg = 'an image_url part needs {"url": "https://… or data:image/…"}'
        raise BadRowError(msg)
    return image if detail is None else replace(image, detail=cast("str", detail))


def _input_audio(part: Block) -> Part:
    value = part.get("input_audio")
    given = value if isinstance(value, Mapping) else {}
    data, form = given.get("data"), given.get("format")
    if not isinstance(data, str):
        msg = 'an input_audio part needs {"data": base64, "format": "wav" or "mp3"}'
        raise BadRowError(msg)
    kind = _FORMATS.get(str(form), f"audio/{form}")
    return Audio.from_url(data if data.startswith("data:") else f"data:{kind};base64,{data}")


def _file(part: Block) -> Part:
    value = part.get("file")
    given = value if isinstance(value, Mapping) else part
    name, data = given.get("filename"), given.get("file_data")
    if isinstance(file_id := given.get("file_id"), str):
        return File(file_id=file_id)
    if isinstance(url := given.get("file_url"), str):
        return _named(File.from_url(url), name)
    if not isinstance(data, str):
        msg = "a file part needs a file_id, or a filename with file_data (base64)"
        raise BadRowError(msg)
    whole = data if data.startswith("data:") else f"data:application/pdf;base64,{data}"
    return _named(File.from_url(whole), name)


def _named(file: File, name: object) -> File:
    return replace(file, name=plain(name)) if name is not None else file


# Anthropic's.


def _image(part: Block) -> Part:
    return _sourced(Image, part.get("source"))


def _document(part: Block) -> Part:
    source, title = part.get("source"), part.get("title")
    given = source if isinstance(source, Mapping) else {}
    if given.get("type") == "content" or any(part.get(name) for name in _OF_DOCUMENTS):
        return _kept(part)  # no other API has what this asks for
    if given.get("type") == "text" and isinstance(text := given.get("data"), str):
        return _named(File(data=plain(text).encode(), media_type="text/plain"), title)
    return _named(_sourced(File, source), title)


def _sourced(kind: type[_Kind], source: object) -> _Kind:
    given = source if isinstance(source, Mapping) else {}
    url, data, file_id = given.get("url"), given.get("data"), given.get("file_id")
    match given.get("type"):
        case "url" if isinstance(url, str):
            return kind.from_url(url)
        case "base64" if isinstance(data, str):
            return kind.from_url(f"data:{given.get('media_type')};base64,{data}")
        case "file" if isinstance(file_id, str):
            return kind(file_id=file_id)
    named = "an image" if kind is Image else "a document"
    msg = f"the source of {named} part must be of type base64 with data, or url with a url"
    raise BadRowError(msg)


def _tool_use(part: Block) -> Part:
    toolset, caller = part.get("toolset_name"), part.get("caller")
    call = tool_call(
        part.get("id"), part.get("name"), part.get("input"), plain(toolset or "function")
    )
    if not isinstance(caller, Mapping) or caller.get("type") == "direct":
        return call
    # A program of the model's called; it wants to have that back.
    return replace(call, signature=_written(dict(caller), "the caller of a call"))


def _tool_result(part: Block) -> Part:
    failed = part.get("is_error") is True
    return tool_result(part.get("tool_use_id"), part.get("content"), is_error=failed)


def _thinking(part: Block) -> Part:
    signature = part.get("signature")
    signed = plain(signature) if signature else None
    return Thinking(plain(part.get("thinking")), signed, "anthropic" if signed else None)


def _kept(part: Block) -> Part:
    return _opaque("anthropic", {k: v for k, v in part.items() if k != "cache_control"})


def _opaque(wire: str, block: Block) -> Opaque:
    return Opaque(wire, _written(block, f"a part of type {reprlib.repr(block.get('type'))}"))


def _written(value: object, what: str) -> str:
    """``value`` as JSON text; raises ``BadRowError`` where it has none."""
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise BadRowError(f"{what} cannot be written as JSON: {error}; change it") from None


def _text(part: Block) -> Part:
    return Text(cast("str", part.get("text")))


_READERS: Final[dict[str, Callable[[Block], Part]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "image_url": _image_url,
    "input_image": _image_url,
    "input_audio": _input_audio,
    "file": _file,
    "input_file": _file,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _kept,
    "server_tool_use": _kept,
    "web_search_tool_result": _kept,
    "web_fetch_tool_result": _kept,
    "code_execution_tool_result": _kept,
    "bash_code_execution_tool_result": _kept,
    "text_editor_code_execution_tool_result": _kept,
    "tool_search_tool_result": _kept,
    "container_upload": _kept,
    "mcp_tool_use": _kept,
    "mcp_tool_result": _kept,
    "compaction": _kept,
    "search_result": _kept,
}
