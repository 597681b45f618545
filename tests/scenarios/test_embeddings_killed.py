"""A process that is killed among packs: what it had shown is never paid for again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from headrace import LLMClient
from headrace.testing.server import FakeServer, vector_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once
TEXTS: Final = [f"text {n}" for n in range(3000)]
CHILD: Final = """
import sys
from headrace import LLMClient, Model

client = LLMClient("openai/m", base_url=sys.argv[1], max_concurrent_requests=2)
texts = [f"text {n}" for n in range(3000)]

def show(row):
    sys.stdout.write(f"{row.id}\\n")
    sys.stdout.flush()

client.embed_sync(texts, journal=sys.argv[2], on_response=show, show_progress=False)
"""


@pytest.mark.parametrize("lines", [1, 1500])
def test_what_a_killed_run_had_shown_is_not_sent_again(tmp_path: Path, lines: int) -> None:
    journal = tmp_path / "run.journal"
    with FakeServer.in_thread(latency=0.05) as server:
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, server.base_url, str(journal)],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            shown = {int(child.stdout.readline()) for _ in range(lines)}
            child.kill()
            shown |= {int(line) for line in child.stdout if line.endswith("\n")}
        before = len(server.received)

        async def resume() -> None:
            async with LLMClient("openai/m", base_url=server.base_url) as client:
                responses = await client.embed(TEXTS, journal=journal, show_progress=False)
                assert [list(r.parsed or ()) for r in responses] == [vector_of(t) for t in TEXTS]
                assert {responses[n].source for n in shown} == {"journal"}
                assert client.last_run is not None
                sent = Counter(t for seen in server.received[before:] for t in seen.json["input"])  # type: ignore[attr-defined]  # a list of texts
                assert not sent.keys() & {TEXTS[n] for n in shown}
                assert set(sent.values()) <= {1}
                twice = sum(responses[n].source == "provider" for n in range(len(TEXTS)))
                assert twice == sent.total()
                assert client.last_run.summary.resent <= twice

        asyncio.run(resume())
