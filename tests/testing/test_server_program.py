"""``python -m headrace.testing.server``, as somebody at a shell sees it."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import urllib.request

import orjson
import pytest

from headrace.testing import faults
from headrace.testing.faults import Fault
from headrace.testing.server.__main__ import NAMED, main, parser, read_fault, server_of

COMMAND = [sys.executable, "-m", "headrace.testing.server"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_url_answers_and_ends_on_a_signal(stop: signal.Signals) -> None:
    arguments = ["--port", "0", "--latency", "0.001", "--rate-limit", "600"]
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        with urllib.request.urlopen(f"{url}/chat/completions", body) as reply:  # noqa: S310 - http to loopback
            assert orjson.loads(reply.read())["usage"]["total_tokens"] == 3
        process.send_signal(stop)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("500:0.1", (faults.Status(500), 0.1)),
        ("429@1.5:0.05", (faults.limited(1.5), 0.05)),
        ("drop:1", (faults.DropBefore(), 1.0)),
        ("bomb:0.5", (faults.Bomb(1 << 30), 0.5)),
    ],
)
def test_faults_are_read(text: str, fault: tuple[Fault, float]) -> None:
    assert read_fault(text) == fault


@pytest.mark.parametrize(
    "text", ["", "drop", "nothing:0.1", "50:0.1", "500:x", "500:.", "drop@1:0.1"]
)
def test_other_words_are_no_faults(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no fault; write CODE:SHARE"):
        read_fault(text)


def test_every_named_fault_can_be_made() -> None:
    assert {
        name: type(make()) for name, make in NAMED.items() if not isinstance(make(), Fault)
    } == {}


def test_options_reach_the_server() -> None:
    words = "--fail 500:0.4 --fail drop:0.6 --max-concurrent 3 --api-key k --keep 5 --port 7"
    server = server_of(parser().parse_args(words.split()))
    assert (server.max_concurrent, server.api_key, server.port) == (3, "k", 7)
    assert server.faults is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--port 99999", "port: it must be 65535 or less, not 99999"),
        ("--latency nan", "latency: it must be a finite number, not nan"),
        ("--rate-limit 0", "requests_per_minute: it must be above 0"),
        ("--host nowhere.invalid", "cannot listen at nowhere.invalid:0"),
    ],
)
def test_what_is_no_setting_is_said(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as info:
        main(words.split())
    assert info.value.code == 2
    assert said in capsys.readouterr().err


def test_impossible_shares_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        main(["--fail", "500:0.6", "--fail", "drop:0.6"])
    assert info.value.code == 2
    assert "from 0 to 1" in capsys.readouterr().err
