"""A run before the real model, killed in its middle and gone on with; a proxy counts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from headrace.adapters.local import shared
from tests.scenarios.real import needs_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_model
ROWS: Final = 16
IN_FLIGHT: Final = 4
ENOUGH: Final = 4
PROMPTS: Final = [f"Say the number {n}." for n in range(ROWS)]

# The same run in Python: it says each id that it hands out, and in the end all of its rows.
PROGRAM: Final = """
import json, sys
from headrace import LLMClient, SamplingParams

url, journal, in_flight, *prompts = sys.argv[1:]
client = LLMClient(
    "openai/smollm2",
    base_url=url,
    sampling_params=SamplingParams(max_tokens=6),
    max_concurrent_requests=int(in_flight),
)
rows = client.process_prompts_sync(
    prompts,
    journal=journal,
    show_progress=False,
    on_response=lambda row: print(row.id, flush=True),
)
print(json.dumps([{"id": r.id, "completion": r.completion, "source": r.source} for r in rows]))
"""


class Proxy(ThreadingHTTPServer):
    """Stands before the model, counts the prompts, and stops passing them on half-way.

    However slow the one that kills is, there is something left to kill.
    """

    daemon_threads = True

    def __init__(self, model: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.model = urlsplit(model)
        self.asked: Counter[str] = Counter()
        self.killed = threading.Event()
        self.lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def may_pass(self, prompt: str) -> bool:
        """Count a prompt; the second half of them wait until the kill, and are dropped."""
        with self.lock:
            self.asked[prompt] += 1
            passes = self.killed.is_set() or self.asked.total() <= ROWS // 2
        return passes or not self.killed.wait(60)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as it is there
        """Say nothing of the killed one, who does not read its answers."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Passing(BaseHTTPRequestHandler):
    """Passes one request on to the model, and its reply back."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_POST(self) -> None:
        """Ask the model."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.server.may_pass(json.loads(body)["messages"][-1]["content"]):
            self.close_connection = True
            return
        model = HTTPConnection(str(self.server.model.hostname), self.server.model.port, timeout=60)
        model.request("POST", self.path, body, {"content-type": "application/json"})
        reply = model.getresponse()
        said = reply.read()
        model.close()
        self.send_response(reply.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(shared().base_url) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.killed.set()
        running.shutdown()
        thread.join()


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(command: list[str]) -> str:
    """What ``command`` prints on its way to a good end."""
    with started(command) as process:
        out, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    return out


def check_nothing_was_paid_twice(proxy: Proxy, finished: list[str]) -> None:
    assert ENOUGH <= len(finished) < ROWS
    assert {proxy.asked[PROMPTS[int(name)]] for name in finished} == {1}
    assert set(proxy.asked) == set(PROMPTS)
    # What was in flight at the kill is asked again, and nothing else.
    assert max(proxy.asked.values()) <= 2
    assert proxy.asked.total() <= ROWS + IN_FLIGHT


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_the_command_is_killed_and_goes_on(proxy: Proxy, source: Path, out: Path) -> None:
    source.write_text("".join(f"{json.dumps(prompt)}\n" for prompt in PROMPTS), encoding="utf-8")
    command = [
        *("-m", "headrace", "run", str(source), "-o", str(out), "-m", "openai/smollm2"),
        *("--base-url", proxy.base_url, "--max-tokens", "6"),
        *("--max-concurrent-requests", str(IN_FLIGHT)),
    ]

    with started(command) as process:
        while not out.exists() or out.read_bytes().count(b"\n") < ENOUGH:
            assert process.poll() is None, "it ended before it had answered"
            time.sleep(0.005)
        process.kill()
        assert process.wait(50) == -9
    proxy.killed.set()
    finished = {row["id"]: row["completion"] for row in lines(out)}
    ended(command)
    rows = lines(out)
    assert sorted(int(row["id"]) for row in rows) == list(range(ROWS))
    assert all(row["completion"] and row["error"] is None for row in rows)
    assert finished.items() <= {row["id"]: row["completion"] for row in rows}.items()
    check_nothing_was_paid_twice(proxy, list(finished))


def test_a_program_is_killed_and_goes_on_by_its_journal(proxy: Proxy, tmp_path: Path) -> None:
    journal = tmp_path / "run.journal"
    command = ["-c", PROGRAM, proxy.base_url, str(journal), str(IN_FLIGHT), *PROMPTS]
    finished: list[str] = []
    with started(command) as process:
        assert process.stdout is not None
        while len(finished) < ENOUGH:
            name = process.stdout.readline().strip()
            assert name, "it ended before it had answered"
            finished.append(name)
        process.kill()
        finished += process.stdout.read().split()
        assert process.wait(50) == -9
    proxy.killed.set()
    rows = json.loads(ended(command).splitlines()[-1])
    assert [row["id"] for row in rows] == [str(n) for n in range(ROWS)]
    assert all(row["completion"] for row in rows)
    assert set(finished) <= {row["id"] for row in rows if row["source"] == "journal"}
    check_nothing_was_paid_twice(proxy, finished)
