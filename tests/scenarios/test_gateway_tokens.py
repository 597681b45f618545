"""A gateway's token in ``extra_headers`` or ``extra_body`` shows up no more than a key does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from headrace import LLMClient, Model, SamplingParams
from headrace.testing import FakeServer

if TYPE_CHECKING:
    from pathlib import Path

TOKEN: Final = "gateway-CANARY-0123456789"
HEADERS: Final = {"cf-aig-authorization": f"Bearer {TOKEN}"}
BODY: Final = {"mcp_servers": [{"authorization_token": TOKEN}]}
ROW: Final = Model(id="openai/m", extra_headers=HEADERS, extra_body=BODY)
OTHER: Final = Model(id="openai/m", extra_headers={"x-team": "b"}, extra_body=BODY)


def sources(row: Model, folder: Path) -> list[str]:
    """Where the answers of a run come from, that goes on with the journal of the one before."""

    async def main() -> list[str]:
        async with (
            FakeServer() as server,
            LLMClient(row, base_url=server.base_url, api_key="sk-a", cache=folder / "c") as client,
        ):
            rows = await client.process_prompts_async(
                ["hi"], journal=folder / "journal", show_progress=False
            )
            sent = [seen.headers for seen in server.received]
            assert all("cf-aig-authorization" in headers for headers in sent if row is ROW)
            return [row.source for row in rows]

    return asyncio.run(main())


def test_neither_journal_nor_cache_holds_it(tmp_path: Path) -> None:
    assert sources(ROW, tmp_path) == ["provider"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert sources(ROW, tmp_path) == ["journal"]
    assert sources(OTHER, tmp_path) == ["provider"]  # it may answer otherwise


@pytest.mark.parametrize("shown", [ROW, SamplingParams(extra_headers=HEADERS)])
def test_no_repr_shows_the_header(shown: object) -> None:
    assert "cf-aig" not in repr(shown)
