"""One golden request for each row: what really reaches the wire for "endpoint/some-model".

A new row fails here until its request stands in tests/golden/endpoints.json; the failure shows it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from headrace import RequestContext, SamplingParams
from headrace.adapters import registered
from headrace.adapters.http import HttpExchange, Transport
from headrace.core.errors import ProviderError
from headrace.providers.catalog import Catalog
from headrace.registry import endpoints
from headrace.registry.resolve import Place, model_row, routes
from headrace.registry.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.model import Route

pytestmark = pytest.mark.once
GOLDEN: Final[dict[str, object]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "endpoints.json").read_text("utf-8")
)
KEY: Final = "sk-golden-0123456789"
ENVIRONMENT: Final = {
    "AZURE_OPENAI_ENDPOINT": "https://resource.openai.azure.com/",
    "OPENAI_API_VERSION": "2024-10-21",
    "GOOGLE_CLOUD_PROJECT": "some-project",
    "GOOGLE_CLOUD_LOCATION": "europe-west1",
}
# What the transport adds to every request alike.
SAME: Final = frozenset({"host", "accept", "accept-encoding", "user-agent", "content-length"})
PARAMS: Final = {"openai_chat": SamplingParams(max_tokens=5, seed=7, stop=("END",))}
REMOTE: Final = [name for name, row in endpoints.known().items() if row.base_url is not None]


class Open:
    """A gate that nothing shuts."""

    def is_shut(self) -> bool:
        return False

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        """Nobody asks."""


async def sent(route: Route) -> tuple[str, dict[str, str], object]:
    """Path, headers and body of one real request along ``route``, met on loopback instead."""
    seen: list[tuple[bytes, bytes]] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        seen.append((head, await reader.readexactly(size)))
        writer.write(
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
        )
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    there = replace(route, base_url=f"http://127.0.0.1:{port}{urlsplit(route.base_url).path}")
    transport = Transport()

    exchange = HttpExchange(lambda: transport, there, 10.0, Open())
    context = RequestContext(prompt="hi", params=PARAMS.get(route.endpoint.wire))
    with suppress(ProviderError):
        await Catalog().bind(context, there, exchange).execute_once()
    await transport.aclose()
    server.close()
    [(head, body)] = seen
    first, *lines = head.decode("ascii").rstrip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    own = {name: value for name, value in headers.items() if name.lower() not in SAME}
    return first, own, json.loads(body)


def routed(name: str, environment: Mapping[str, str]) -> Route:
    # A slash, as many names of models have one.
    model = model_row(f"{name}/some/model")
    [route] = routes(model, Place(), Table(), environment.get)
    return route


@pytest.mark.parametrize("name", REMOTE)
def test_what_reaches_the_wire(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = endpoints.known()[name]
    for variable, value in {**ENVIRONMENT, **dict.fromkeys(row.key_env, KEY)}.items():
        monkeypatch.setenv(variable, value)
    route = routed(name, ENVIRONMENT)
    first, headers, body = asyncio.run(sent(route))
    method, path, _ = first.split()
    host = urlsplit(route.base_url)
    assert {
        "request": f"{method} {host.scheme}://{host.netloc}{path}",
        "headers": headers,
        "body": body,
        "key": list(row.key_env),
    } == GOLDEN.get(name)


def test_no_golden_request_is_without_its_row() -> None:
    assert sorted(GOLDEN) == sorted(REMOTE)


@pytest.mark.parametrize("name", [n for n in REMOTE if not endpoints.known()[n].needs_key])
def test_a_server_of_ones_own_is_asked_without_a_key_where_there_is_none(name: str) -> None:
    _, headers, _ = asyncio.run(sent(routed(name, {})))
    assert "Authorization" not in headers
    assert registered.environ(endpoints.known()[name].key_env[0]) is None
