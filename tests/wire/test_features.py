"""Each cell of docs/features.md: a request with the feature goes out, and is met on arrival."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import genai_prices.data
import pytest

from docs import features_page
from headrace import LLMClient
from headrace.adapters import prices
from headrace.adapters.http import HttpExchange, Transport
from headrace.core.errors import ConfigError, NotSentError, ProviderError, RejectedError
from headrace.core.model import Model, Route
from headrace.providers.base import CodecRequest
from headrace.providers.catalog import CLASSES, Catalog
from headrace.registry import endpoints
from headrace.wire.limits import NO_LIMITS, read_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docs.features_page import Probe
    from headrace.core.model import Endpoint

pytestmark = pytest.mark.once
PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "features.md").read_text("utf-8")
ROWS: Final = [line for line in PAGE.splitlines() if line.startswith("|")]
NAMES: Final = [cell.strip() for cell in ROWS[0].strip("|").split("|")]
CELLS: Final = [
    pytest.param(name, feature, cell == "yes", id=f"{name}: {feature}")
    for name, *cells in ([c.strip("` ") for c in row.strip("|").split("|")] for row in ROWS[2:])
    for feature, cell in zip(NAMES[1:], cells, strict=True)
    if feature in features_page.PROBES
]


class Arrived(NamedTuple):
    """What came over the wire: path and headers, and the body."""

    head: str
    body: str


class Open:
    """A gate that nothing shuts."""

    def is_shut(self) -> bool:
        return False

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        """Nobody asks."""


async def sent(row: Endpoint, probe: Probe) -> Arrived | None:
    """The request as a server got it; None where nothing came, since the codec refused."""
    seen: list[Arrived] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        size = int(re.findall(r"(?i)content-length: (\d+)", head)[0])
        said = (await reader.readexactly(size)).decode()
        told = re.sub(r"(?im)^(host|content-length|x-amz-\S*|authorization):.*\n", "", head)
        seen.append(Arrived(told, said))
        writer.write(b"HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = Transport()

    here = row.model_copy(update={"auth": "none"})
    route = Route(Model(id=f"{row.name}/model"), here, f"http://127.0.0.1:{port}")
    exchange = HttpExchange(lambda: transport, route, 10.0, Open())
    try:
        request = Catalog().bind(probe.context, route, exchange)
        if probe.stream:
            async for _ in request.stream_once():
                pass
        else:
            await request.execute_once()
    except RejectedError:
        pass  # by the codec, or by the server, which has seen enough
    except ProviderError as error:
        if not seen:
            raise AssertionError(f"{row.name} could not be asked") from error
    finally:
        await transport.aclose()
        server.close()
    return seen[0] if seen else None


def shown(row: Endpoint, probe: Probe) -> bool:
    """Did the feature arrive?"""
    arrived = asyncio.run(sent(row, probe))
    if arrived is None:
        return False
    if probe.mark is not None:
        return probe.mark in arrived.body
    without = asyncio.run(sent(row, features_page.without(probe)))
    assert without is not None
    return arrived != without


@pytest.mark.parametrize(("name", "feature", "is_told"), CELLS)
def test_a_cell_says_what_arrives(name: str, feature: str, *, is_told: bool) -> None:
    row = endpoints.known()[name]
    assert issubclass(CLASSES[row.wire], CodecRequest)
    assert shown(row, features_page.PROBES[feature]) is is_told


# As the vendors write them, one dialect each.
LIMITS: Final[dict[str, dict[str, str]]] = {
    "openai": {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"},
    "anthropic": {"anthropic-ratelimit-input-tokens-limit": "9"},
    "mistral": {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-limit-tokens-minute": "500"},
    "cerebras": {"x-ratelimit-limit-requests-day": "60", "x-ratelimit-limit-tokens-minute": "9"},
    "together": {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9"},
    "fireworks": {"x-ratelimit-limit-tokens-prompt": "60"},
}


def column(feature: str) -> dict[str, bool]:
    """The cells of one feature, by endpoint."""
    at = NAMES.index(feature)
    lines = [[cell.strip("` ") for cell in row.strip("|").split("|")] for row in ROWS[2:]]
    return {cells[0]: cells[at] == "yes" for cells in lines}


def test_limits_are_read_where_the_table_says_so() -> None:
    for name, is_told in column("limits").items():
        dialect = endpoints.known()[name].limit_headers
        assert is_told is (dialect is not None), name
        if dialect is not None:
            assert read_limits(LIMITS[dialect]) != NO_LIMITS, name


def test_a_price_is_known_where_the_table_says_so() -> None:
    priced = {name for name, is_told in column("prices").items() if is_told}
    for name in endpoints.known():
        vendor = endpoints.known()[name].vendor
        rows = [m for p in genai_prices.data.providers if p.id == vendor for m in p.models]
        models = {name for m in rows for name in (m.id, *re.findall(r"='([^']+)'", repr(m.match)))}
        known = [prices.find(vendor, model, 1.79e9) for model in models]
        assert (name in priced) is any(found is not None for found in known), name


def test_files_are_kept_where_the_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    for name, is_told in column("file store").items():
        client = LLMClient(f"{name}/m", base_url="http://127.0.0.1:1", api_key="sk-any")
        with pytest.raises((ConfigError, NotSentError)) as caught:
            client.list_files_sync()
        assert isinstance(caught.value, NotSentError) is is_told, name
        client.close()


def test_the_page_is_up_to_date_and_has_every_endpoint() -> None:
    assert features_page.page() == PAGE, "docs/features.md is old: run `nox -s features-page`"
    told = {line.split("|")[1].strip("` ") for line in ROWS[2:]}
    assert told == set(endpoints.known())
