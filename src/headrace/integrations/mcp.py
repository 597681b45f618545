"""The door to MCP servers (extra "mcp"): their tools, as tools that a model may call."""

from __future__ import annotations

import asyncio
import re
import shlex
from base64 import b64decode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from headrace.core.errors import ConfigError
from headrace.core.media import File, Image
from headrace.core.parts import Text, ToolResult
from headrace.core.tools import Tool

_ODD: Final = re.compile(r"[^A-Za-z0-9_-]+")


@asynccontextmanager
async def mcp_tools(
    server: Any,  # noqa: ANN401  a session has no type where the extra is not installed
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 600.0,  # noqa: ASYNC109  of each call, and the session keeps it
) -> AsyncGenerator[list[Tool]]:
    """The tools of an MCP server, for as long as the block lasts.

    ``server`` is a command (a string, or a list with its arguments) that is started and spoken to
    over its standard input and output, an ``https://`` URL, or an ``mcp.ClientSession`` of yours
    that is initialised. ``env`` is the environment of a command, beside the little that it gets
    anyway; ``timeout`` bounds each call in seconds. Raises ``ConfigError`` where there is no such
    server or the extra is not installed.
    """
    try:
        async with AsyncExitStack() as stack:
            session = server
            if not hasattr(server, "call_tool"):
                session = await _opened(stack, await _streams(stack, server, env), timeout)
            yield [_tool(session, about) for about in await _listed(session)]
    except BaseExceptionGroup as group:
        raise _only(group) from None


def _only(error: BaseException) -> BaseException:
    """What went wrong in the block, without the groups that the extra puts around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _opened(stack: AsyncExitStack, streams: Any, timeout: float) -> Any:  # noqa: ANN401, ASYNC109  see mcp_tools
    kind = import_module("mcp").ClientSession
    session = await stack.enter_async_context(kind(*streams, read_timeout_seconds=timeout))
    try:
        await session.initialize()
    except Exception as error:  # noqa: BLE001  of the extra, and of what it uses
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"the MCP server does not answer as one ({said}); check it") from None
    return session


async def _streams(stack: AsyncExitStack, server: object, env: Mapping[str, str] | None) -> Any:  # noqa: ANN401  streams of the extra
    try:
        stdio = import_module("mcp.client.stdio")
        http = import_module("mcp.client.streamable_http")
    except ImportError:
        msg = 'MCP servers need the extra: pip install "headrace[mcp]"'
        raise ConfigError(msg) from None
    if isinstance(server, str) and server.partition("://")[0] in {"http", "https"}:
        _check_address(server)
        streams = await stack.enter_async_context(http.streamable_http_client(server))
        return streams[:2]
    words = shlex.split(server) if isinstance(server, str) else server
    if not isinstance(words, Sequence) or not words:
        msg = "an MCP server is a command, an https:// URL or an initialised session"
        raise ConfigError(msg)
    parameters = stdio.StdioServerParameters(
        command=str(words[0]), args=[str(word) for word in words[1:]], env=env and dict(env)
    )
    try:
        return await stack.enter_async_context(stdio.stdio_client(parameters))
    except OSError as error:
        said = error.strerror or error
        raise ConfigError(f"cannot start the MCP server {words[0]}: {said}; check it") from None


def _check_address(url: str) -> None:
    """What is asked and answered is not sent in the clear, but to this machine."""
    parts = urlsplit(url)
    try:
        is_here = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_here = False
    if parts.scheme != "https" and not is_here:
        msg = "plain http reaches MCP servers on this machine only; use https://"
        raise ConfigError(msg)


async def _listed(session: Any) -> list[dict[str, Any]]:  # noqa: ANN401  see mcp_tools
    params = import_module("mcp.types").PaginatedRequestParams
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = _plain(await session.list_tools(params=params(cursor=cursor)))
        found += page["tools"]
        cursor = page.get("nextCursor")
        if not cursor:
            return found


def _tool(session: Any, about: dict[str, Any]) -> Tool:  # noqa: ANN401  see mcp_tools
    loop = asyncio.get_running_loop()

    async def call(**arguments: object) -> ToolResult:
        if asyncio.get_running_loop() is not loop:
            msg = "an MCP session belongs to the event loop that opened it; await run_tool_loop"
            raise RuntimeError(msg)
        return _result(_plain(await session.call_tool(about["name"], arguments)))

    name = _ODD.sub("_", about["name"])[:64]
    return Tool(name, about.get("description") or "", about["inputSchema"], call=call)


def _plain(value: Any) -> dict[str, Any]:  # noqa: ANN401  a model of the extra
    found: dict[str, Any] = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found


def _result(said: dict[str, Any]) -> ToolResult:
    parts = tuple(_part(block) for block in said.get("content", ()))
    content: str | tuple[Text | Image | File, ...] = parts
    if all(isinstance(part, Text) for part in parts):
        content = "\n".join(part.text for part in parts if isinstance(part, Text))
    if not content and said.get("structuredContent") is not None:
        content = orjson.dumps(said["structuredContent"]).decode()
    return ToolResult("", content, is_error=bool(said.get("isError")))


def _part(block: dict[str, Any]) -> Text | Image | File:
    match block:
        case {"type": "text", "text": text}:
            return Text(text)
        case {"type": "image", "data": data, "mimeType": kind}:
            return Image.from_bytes(b64decode(data), kind)
        case {"type": "resource", "resource": {"text": text}}:
            return Text(text)
        case {"type": "resource", "resource": {"blob": data}}:
            return File.from_bytes(b64decode(data), block["resource"].get("mimeType"))
        case {"type": "resource_link", "uri": uri}:
            return Text(str(uri))
    return Text(f"(a block of the type {block.get('type')}, which cannot be told)")
