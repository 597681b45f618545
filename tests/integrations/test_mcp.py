"""Tools of a real MCP server, over its standard input and output."""

from __future__ import annotations

import asyncio
import sys
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import ConfigError, Image, LLMClient, Text, ToolResult
from headrace.integrations.mcp import _result, mcp_tools
from tests.clients import made
from tests.turns import Rounds, asking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from headrace import Tool

mcp = pytest.importorskip("mcp", reason="the extra mcp is not installed")
pytestmark = pytest.mark.once

SERVER: Final = '''
import base64, os
from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("desk", log_level="CRITICAL")


@server.tool()
def add(left: int, right: int = 1) -> int:
    """Add two numbers."""
    return left + right


@server.tool(name="desk.look")
def look() -> list:
    """Look at it."""
    return ["a desk", Image(data=b"\\x89PNG\\r\\n\\x1a\\n0123", format="png")]


@server.tool()
def fall() -> str:
    raise ValueError("it fell")


@server.tool()
def who() -> str:
    return os.environ.get("WHO", "nobody")


server.run()
'''


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """What starts the server."""
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return [sys.executable, str(path)]


def using(
    server: object, use: Callable[[dict[str, Tool]], Awaitable[None]], **options: Any
) -> None:
    async def main() -> None:
        async with mcp_tools(server, **options) as tools:
            await use({tool.name: tool for tool in tools})

    asyncio.run(main())


async def result_of(tool: Tool, text: str = "{}") -> ToolResult:
    assert tool.call is not None
    found = await tool.call(**tool.read(text))
    assert isinstance(found, ToolResult)
    return found


def test_a_servers_tools_are_called_over_there(command: list[str]) -> None:
    async def use(tools: dict[str, Tool]) -> None:
        assert sorted(tools) == ["add", "desk_look", "fall", "who"]
        assert tools["add"].description == "Add two numbers."
        schema: Any = tools["add"].parameters
        assert (schema["required"], schema["properties"]["left"]["type"]) == (["left"], "integer")
        assert (await result_of(tools["add"], '{"left": 2}')).content == "3"
        said = await result_of(tools["desk_look"])
        assert isinstance(said.content, tuple)
        assert said.content[0] == Text("a desk")
        assert isinstance(said.content[1], Image)
        wrong = await result_of(tools["fall"])
        assert (wrong.is_error, "fall" in wrong.text) == (True, True)
        bad = await result_of(tools["add"], '{"left": "x"}')
        assert bad.is_error
        assert (await result_of(tools["who"])).content == "me"

    using(command, use, env={"WHO": "me"})


def test_a_model_calls_them_in_the_loop(command: list[str]) -> None:
    rounds = Rounds(asking(("add", '{"left": 2, "right": 3}'), ("desk_look", "")), "5")

    async def main() -> None:
        async with mcp_tools(" ".join(command)) as tools, made(rounds.script) as client:
            run = await client.run_tool_loop("2 + 3?", tools=tools)
            assert (run.response.completion, run.is_complete) == ("5", True)
            first, second = rounds.results()
            assert first == ToolResult("c0", "5", "add")
            assert (second.id, second.name, len(second.media)) == ("c1", "desk_look", 1)

    asyncio.run(main())


def test_a_session_of_ones_own_is_used_and_left_open(command: list[str]) -> None:
    async def main() -> None:
        place = mcp.StdioServerParameters(command=command[0], args=command[1:])
        async with mcp.stdio_client(place) as streams, mcp.ClientSession(*streams) as session:
            await session.initialize()
            async with mcp_tools(session) as tools:
                assert len(tools) == 4
            assert len((await session.list_tools()).tools) == 4

    asyncio.run(main())


def test_a_session_is_of_one_loop(command: list[str]) -> None:
    async def use(tools: dict[str, Tool]) -> None:
        rounds = Rounds(asking(("add", '{"left": 2}')), "so be it")
        client: LLMClient = made(rounds.script)
        await asyncio.to_thread(client.run_tool_loop_sync, "p", tools=[tools["add"]])
        assert "an MCP session belongs to the event loop" in rounds.results()[0].text
        await client.aclose()

    using(command, use)


def test_what_is_raised_in_the_block_comes_out_as_it_is(command: list[str]) -> None:
    async def fail(tools: dict[str, Tool]) -> None:
        raise KeyError(len(tools))

    with pytest.raises(KeyError, match="4"):
        using(command, fail)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("no-such-program-here", "cannot start the MCP server no-such-program-here"),
        ("", "an MCP server is a command"),
        (5, "an MCP server is a command"),
        ([sys.executable, "-c", ""], "the MCP server does not answer as one"),
        ("http://mcp.example/", "plain http reaches MCP servers on this machine only"),
    ],
)
def test_what_is_no_server_is_refused(server: object, said: str) -> None:
    async def never(tools: dict[str, Tool]) -> None:
        raise AssertionError(tools)

    with pytest.raises(ConfigError, match=said):
        using(server, never)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(tools: dict[str, Tool]) -> None:
        raise AssertionError(tools)

    monkeypatch.setitem(sys.modules, "mcp.client.stdio", None)
    with pytest.raises(ConfigError, match=r'pip install "headrace\[mcp\]"'):
        using("server", never)


def test_what_has_no_place_in_a_result_is_named() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "audio", "data": "AA==", "mimeType": "audio/wav"},
        {"type": "resource_link", "uri": "file:///a", "name": "a"},
        {"type": "resource", "resource": {"uri": "a", "text": "inside"}},
    ]
    said = _result({"content": blocks}).text.splitlines()
    assert said == ["(a block of the type audio, which cannot be told)", "file:///a", "inside"]
    pdf = {"uri": "a", "blob": b64encode(b"%PDF-1.7 and so on").decode()}
    [file] = _result({"content": [{"type": "resource", "resource": pdf}]}).media
    assert file.media_type == "application/pdf"
    assert _result({"structuredContent": {"a": 1}}).content == '{"a":1}'
