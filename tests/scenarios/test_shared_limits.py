"""Real processes that share one limit through a file, or through a real Redis server."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import pytest

from tests.redis_server import RedisServer, needs_redis

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer

pytestmark = pytest.mark.once
PER_MINUTE: Final = 3_000
EACH: Final = 50
PROGRAM: Final = """
import sys
from headrace import LLMClient

url, place, name = sys.argv[1:]
client = LLMClient("openai/fake", base_url=url, shared_limits=place, max_requests_per_minute=3_000)
client.ask_sync(name)
print("ready", flush=True)
sys.stdin.readline()
rows = client.process_prompts_sync([f"{name}{n}" for n in range(50)], show_progress=False)
print(len(rows.succeeded))
client.close()
"""


@pytest.mark.parametrize("by", ["file", pytest.param("redis", marks=needs_redis)])
def test_processes_share_one_limit(by: str, server: FakeServer, tmp_path: Path) -> None:
    with RedisServer() if by == "redis" else nullcontext() as redis:
        place = str(tmp_path / "limits.db") if redis is None else redis.url
        command = [
            sys.executable,
            "-W",
            "error",
            "-X",
            "dev",
            "-c",
            PROGRAM,
            server.base_url,
            place,
        ]
        pipe = subprocess.PIPE
        processes = [
            subprocess.Popen([*command, name], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            for name in "abc"
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        ready = len(server.received)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=40) for process in processes]
    assert said == [(f"{EACH}\n", "")] * 3
    at = [request.at for request in server.received[ready:]]
    elapsed = at[-1] - at[0]
    # 150 requests at 50 a second, of which a tenth of a second's worth may come at once.
    assert elapsed >= (3 * EACH - 10) / PER_MINUTE * 60
