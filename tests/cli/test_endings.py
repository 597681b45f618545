"""Runs that are killed, interrupted or left alone by their reader, as processes of their own."""

from __future__ import annotations

import fcntl
import json
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer, RequestSeen

pytestmark = pytest.mark.once

Run: TypeAlias = Callable[..., int]
ROWS = 60
ANSWERED = 20
IN_FLIGHT = 4


class Stuck:
    """Answers so many requests at once and no other; says when all that can come has come."""

    def __init__(self) -> None:
        self.reached = threading.Event()

    def __call__(self, seen: RequestSeen) -> float:
        if seen.n + 1 >= ANSWERED + IN_FLIGHT:
            self.reached.set()
        return 0.0 if seen.n < ANSWERED else 3600.0


def start(server: FakeServer, source: Path, out: Path, *flags: str) -> subprocess.Popen[bytes]:
    """The command as a process, stuck at its first requests without an answer."""
    server.latency = stuck = Stuck()
    rows = (json.dumps({"id": f"row {n}", "prompt": f"p{n}"}) for n in range(ROWS))
    source.write_text("\n".join(rows), encoding="utf-8")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "headrace", "run", str(source), "-o", str(out)),
            *("-m", "openai/fake", "--base-url", server.base_url),
            *("--max-concurrent-requests", str(IN_FLIGHT), *flags),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not stuck.reached.wait(0.01):
        assert process.poll() is None, "it ended before it had asked"
    return process


def wait_for_lines(process: subprocess.Popen[bytes], path: Path, count: int) -> list[str]:
    """The ids in the output, as soon as there are so many."""
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, "it ended before it had answered"
        time.sleep(0.005)
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_finished_is_never_asked_again(
    run: Run, server: FakeServer, source: Path, out: Path, number: signal.Signals
) -> None:
    process = start(server, source, out)
    finished = wait_for_lines(process, out, ANSWERED)
    process.send_signal(number)
    _, said = process.communicate(timeout=50)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    if number != signal.SIGKILL:
        assert b"Interrupted. What is answered is kept; run the same command again" in said
        assert b"Traceback" not in said
    assert len(finished) == len(out.read_bytes().splitlines()) == ANSWERED

    server.latency = 0.0
    assert run() == 0
    ids = [json.loads(line)["id"] for line in out.read_bytes().splitlines()]
    assert sorted(ids) == sorted(f"row {n}" for n in range(ROWS))
    assert {server.counts[name.replace("row ", "p")] for name in finished} == {1}
    assert server.counts.total() == ROWS + IN_FLIGHT
    assert server.answered.total() == ROWS


def test_a_kill_between_journal_and_output_loses_nothing(
    run: Run, server: FakeServer, source: Path, out: Path
) -> None:
    process = start(server, source, out)
    wait_for_lines(process, out, ANSWERED)
    process.kill()
    process.communicate(timeout=50)
    out.write_bytes(out.read_bytes()[:1000])
    server.latency = 0.0
    assert run(None, "--ordered") == 0
    ids = [json.loads(line)["id"] for line in out.read_bytes().splitlines()]
    assert ids == [f"row {n}" for n in range(ROWS)]
    assert server.answered.total() == ROWS


def test_a_reader_that_goes_away_ends_the_run(
    server: FakeServer, source: Path, tmp_path: Path
) -> None:
    source.write_text("".join(f'"p{n}"\n' for n in range(5000)), encoding="utf-8")
    command = [sys.executable, "-m", "headrace", "run", str(source), "-o", "-"]
    process = subprocess.Popen(
        [*command, "-m", "openai/fake", "--base-url", server.base_url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["error"] is None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(50) == 3
    assert "nobody reads the output any more\n" in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_second_ctrl_c_ends_a_run_that_waits_for_its_reader(
    server: FakeServer, source: Path
) -> None:
    source.write_text("".join(f'"p{n}"\n' for n in range(5000)), encoding="utf-8")
    command = [sys.executable, "-m", "headrace", "run", str(source), "-o", "-"]
    with subprocess.Popen(
        [*command, "-m", "openai/fake", "--base-url", server.base_url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        waiting, enough = array("i", [0]), select.PIPE_BUF * 15
        while waiting[0] < enough:
            fcntl.ioctl(process.stdout, termios.FIONREAD, waiting)
            assert process.poll() is None, "it ended before the pipe was full"
            time.sleep(0.01)
        for _ in range(500):
            process.send_signal(signal.SIGINT)
            if process.poll() is not None:
                break
            time.sleep(0.01)
        else:
            process.kill()
        assert process.wait(50) == -signal.SIGINT


def test_ctrl_c_while_standard_input_is_silent(server: FakeServer, out: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "headrace", "run", "-", "-o", str(out)),
            *("-m", "openai/fake", "--base-url", server.base_url),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'"a"\n')
    process.stdin.flush()
    assert wait_for_lines(process, out, 1) == ["0"]
    process.send_signal(signal.SIGINT)
    assert process.wait(50) == 130
    process.stdin.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
