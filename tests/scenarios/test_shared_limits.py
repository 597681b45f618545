"""Real processes that share one limit through a file, or through a real Redis server."""

from __future__ import annotations

import asyncio
import os
import pickle
import sqlite3
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import pytest

from headrace import ConfigError, LLMClient, SqliteLimits, events
from headrace.cli.main import main
from headrace.policy.leases import Answer, Message
from tests.clients import quiet
from tests.redis_server import RedisServer, needs_redis

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer

pytestmark = pytest.mark.once
NOWHERE: Final = "http://127.0.0.1:1/v1"
# In pieces, or tracebacks would show it in the lines of this file.
SECRET: Final = "s3-cret!"[:7]
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


FORKING: Final = """
import os, sys
from headrace import LLMClient

url, place = sys.argv[1:]
client = LLMClient("openai/fake", base_url=url, shared_limits=place, max_requests_per_minute=3_000)
client.ask_sync("warm")
child = os.fork()
name = "p" if child else "c"
rows = client.process_prompts_sync([f"{name}{n}" for n in range(50)], show_progress=False)
assert len(rows.succeeded) == 50
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
client.close()
"""


@needs_redis
def test_a_server_that_is_killed_and_started_again_costs_no_prompt(server: FakeServer) -> None:
    told: list[bool] = []
    noticed = asyncio.Event()

    def listen(event: events.Event) -> None:
        if isinstance(event, events.SharedLimitsChanged):
            told.append(event.is_lost)
            noticed.set()

    async def main(redis: RedisServer) -> int:
        client = LLMClient(
            "openai/fake",
            base_url=server.base_url,
            shared_limits=redis.url,
            max_requests_per_minute=6_000,
        )
        client.add_listener(listen)
        async with client:
            run = asyncio.create_task(quiet(client, [f"p{n}" for n in range(120)]))
            await asyncio.sleep(0.4)
            await asyncio.to_thread(redis.stop)
            await noticed.wait()
            await asyncio.to_thread(redis.start)
            return len((await run).succeeded)

    with RedisServer() as redis:
        assert asyncio.run(main(redis)) == 120
    assert told == [True, False]
    assert set(server.counts.values()) == {1}


def test_threads_with_a_loop_each_share_what_their_client_is_lent(
    server: FakeServer, tmp_path: Path
) -> None:
    client = LLMClient(
        "openai/fake",
        base_url=server.base_url,
        shared_limits=tmp_path / "limits.db",
        max_requests_per_minute=3_000,
    )

    def work(name: str) -> int:
        rows = asyncio.run(quiet(client, [f"{name}{n}" for n in range(30)]))
        return len(rows.succeeded)

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(work, "abc")) == [30, 30, 30]
    client.close()
    at = [request.at for request in server.received]
    assert at[-1] - at[0] >= (90 - 10) / PER_MINUTE * 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_is_one_more_process(server: FakeServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKING, server.base_url, str(tmp_path / "limits.db")]
    subprocess.run(command, check=True, timeout=40)
    at = [request.at for request in server.received[1:]]
    assert len(at) == 2 * EACH
    assert at[-1] - at[0] >= (2 * EACH - 10) / PER_MINUTE * 60


def test_a_client_travels_with_the_place(tmp_path: Path) -> None:
    place = str(tmp_path / "limits.db")
    client = LLMClient("openai/m", base_url=NOWHERE, shared_limits=place)
    copy = pickle.loads(pickle.dumps(client))
    assert copy._leasing.store.path == tmp_path / "limits.db"  # noqa: SLF001  it shows nowhere else


@needs_redis
def test_a_client_does_not_travel_with_a_password() -> None:
    client = LLMClient("openai/m", base_url=NOWHERE, shared_limits=f"redis://:{SECRET}@127.0.0.1:1")
    with pytest.raises(TypeError, match="HEADRACE_REDIS_PASSWORD"):
        pickle.dumps(client)
    assert SECRET not in f"{client!r} {vars(client)}"
    with pytest.raises(ConfigError, match="cannot be reached") as refused:
        client.ask_sync("p")
    assert SECRET not in shown(refused.value)


@pytest.mark.parametrize("rest", ["127.0.0.1:port", "127.0.0.1/#x", "127.0.0.1?socket_timeout=x"])
def test_a_wrong_address_shows_no_password(rest: str) -> None:
    with pytest.raises(ConfigError) as refused:
        LLMClient("openai/m", base_url=NOWHERE, shared_limits=f"redis://:{SECRET}@{rest}").ask_sync(
            "p"
        )
    assert SECRET not in shown(refused.value)


def shown(error: BaseException) -> str:
    """All that a traceback with local variables shows."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(trace.format())


def test_the_command_line_shares_too(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text('"a"\n"b"\n')
    given = ["run", str(rows), "-m", "openai/fake", "--base-url", server.base_url, "--quiet"]
    given += ["--max-requests-per-minute", "6000", "-o", str(tmp_path / "out.jsonl")]
    place = tmp_path / "limits.db"
    assert main([*given, "--shared-limits", str(place)]) == 0
    assert SqliteLimits(place).step(Message("me"), 0) == Answer({})
    with sqlite3.connect(place) as connection:
        assert "requests_per_minute" in str(connection.execute("SELECT * FROM book").fetchall())
    connection.close()
    assert main([*given, "--shared-limits", "http://nowhere"]) == 2
    assert "headrace: --shared-limits must" in capsys.readouterr().err
