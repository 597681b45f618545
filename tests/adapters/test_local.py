"""The model in the box: its server answers, and never outlives the process that wanted it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from headrace.adapters.local import LocalServer, shared
from headrace.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE: Final = importlib.util.find_spec("xllamacpp") is not None
real: Final = pytest.mark.skipif(not HERE, reason="xllamacpp is not installed (extra: local)")
# The first start may fetch the weights.
patient: Final = pytest.mark.timeout(300)

# Stands where xllamacpp is imported from; what its Server does is the test's.
BROKEN: Final = """
import os
from types import SimpleNamespace

def CommonParams():
    return SimpleNamespace(
        model=SimpleNamespace(), cpuparams=SimpleNamespace(), sampling=SimpleNamespace()
    )

def Server(params):
    print("native chatter")
    {does}
"""
OWNER: Final = """
import os, signal, sys
from headrace.adapters.local import shared
print(shared().anthropic_url, flush=True)
sys.stdin.readline()
{ends}
"""
FORKS: Final = """
import os, sys
from headrace.adapters.local import LocalServer, shared
closed = LocalServer().start(n_ctx=256, parallel=1)
closed.close()
mine = shared().base_url
child = os.fork()
if not child:
    print(shared().base_url != mine, flush=True)
    sys.exit(0)
print(os.waitpid(child, 0)[1], shared().base_url == mine)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as started:
        yield started


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "xllamacpp.py"


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def post(url: str, *bodies: object) -> list[tuple[int, dict[str, object]]]:
    async def one(session: aiohttp.ClientSession, body: object) -> tuple[int, dict[str, object]]:
        async with session.post(url, json=body) as reply:
            return reply.status, await reply.json()

    async def everything() -> list[tuple[int, dict[str, object]]]:
        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*(one(session, body) for body in bodies))

    return asyncio.run(everything())


def asking(content: str, **more: object) -> dict[str, object]:
    return {"model": "smollm2", "messages": [{"role": "user", "content": content}], **more}


def connect(url: str) -> socket.socket:
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    return socket.create_connection((place.hostname, place.port), timeout=20)


def is_gone(url: str) -> bool:
    """Wait for the end of what serves ``url``: a dying process closes its sockets one by one."""
    for _ in range(3):
        try:
            with connect(url) as witness:
                witness.recv(1)
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            continue
    return False


def test_without_the_extra_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConfigError, match=r"^the local model needs the extra: pip install 'head"):
        LocalServer().start()


@pytest.mark.parametrize(("n_ctx", "parallel"), [(0, 4), (8193, 4), (2048, 0)])
def test_sizes_that_cannot_be_are_refused(n_ctx: int, parallel: int) -> None:
    with pytest.raises(ConfigError, match=f"not {n_ctx} and {parallel}"):
        LocalServer().start(n_ctx=n_ctx, parallel=parallel)


def test_before_the_start_there_is_no_address() -> None:
    server = LocalServer()
    server.close()
    assert (server.running, server.base_url, server.anthropic_url) == (False, "", "")


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("raise RuntimeError('no room for it')", "no room for it"),
        ("os._exit(7)", "ended with code 7"),
    ],
)
def test_a_server_that_does_not_start_is_a_sentence(
    broken: Path, tmp_path: Path, does: str, reason: str
) -> None:
    broken.write_text(BROKEN.format(does=does))
    server = LocalServer(tmp_path / "weights.gguf")
    with pytest.raises(ConfigError, match=rf"did not start \(.*{reason}\).*weights\.gguf"):
        server.start()
    assert not server.running


@pytest.mark.parametrize("executable", ["/nowhere/python", "", None])
def test_an_interpreter_that_does_not_start_is_a_sentence(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    broken.write_text(BROKEN.format(does="pass"))
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(ConfigError, match="run headrace with a plain Python"):
        LocalServer(tmp_path / "weights.gguf").start()


@real
@patient
@pytest.mark.real
class TestRealModel:
    def test_it_answers_as_openai_does(self, server: LocalServer) -> None:
        url = f"{server.base_url}/chat/completions"
        ((status, reply),) = post(url, asking("Say hello.", max_tokens=8, ignore_eos=True))
        assert status == 200
        assert reply["model"] == "smollm2"
        assert isinstance(reply["choices"], list)
        assert reply["choices"][0]["finish_reason"] == "length"
        assert reply["choices"][0]["message"]["content"]
        assert isinstance(reply["usage"], dict)
        assert reply["usage"]["completion_tokens"] == 8
        assert reply["usage"]["prompt_tokens"] > 0

    def test_it_answers_as_anthropic_does(self, server: LocalServer) -> None:
        url = f"{server.anthropic_url}/v1/messages"
        ((status, reply),) = post(url, asking("Say hello.", max_tokens=8, ignore_eos=True))
        assert status == 200
        assert reply["stop_reason"] == "max_tokens"
        assert isinstance(reply["usage"], dict)
        assert reply["usage"]["output_tokens"] == 8

    def test_more_requests_than_slots_wait_their_turn(self, server: LocalServer) -> None:
        bodies = [asking(f"Count from {n}.", max_tokens=2) for n in range(9)]
        replies = post(f"{server.base_url}/chat/completions", *bodies)
        assert [status for status, _ in replies] == [200] * 9

    def test_a_prompt_beyond_the_context_is_refused(self, server: LocalServer) -> None:
        url = f"{server.base_url}/chat/completions"
        ((status, reply),) = post(url, asking("word " * 3000, max_tokens=2))
        assert status == 400
        assert isinstance(reply["error"], dict)
        assert reply["error"]["type"] == "exceed_context_size_error"
        assert reply["error"]["n_ctx"] == 2048

    def test_damaged_weights_are_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "bad.gguf").write_bytes(b"GGUF and then nothing")
        with pytest.raises(ConfigError, match=r"did not start \(Failed to init .*bad\.gguf"):
            LocalServer(tmp_path / "bad.gguf").start()

    def test_starting_twice_is_starting_once(self, server: LocalServer) -> None:
        before = server.base_url
        assert server.start().base_url == before

    def test_closing_ends_it(self) -> None:
        server = LocalServer().start(n_ctx=256, parallel=1)
        url = server.base_url
        server.close()
        assert not server.running
        with pytest.raises(ConnectionRefusedError):
            connect(url)

    def test_all_threads_share_one_server(self) -> None:
        with ThreadPoolExecutor(4) as threads:
            urls = {one.base_url for one in threads.map(lambda _: shared(), range(8))}
        assert len(urls) == 1
        shared().close()
        assert shared().base_url not in urls
        shared().close()

    @pytest.mark.parametrize(
        ("ends", "code"),
        [
            ("pass", 0),
            ("os._exit(4)", 4),
            ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
            ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ],
    )
    def test_it_ends_with_its_process(self, ends: str, code: int) -> None:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER.format(ends=ends)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert owner.stdout
        url = owner.stdout.readline().strip()
        out, err = owner.communicate("\n", timeout=20)
        assert owner.returncode == code
        assert out == ""
        assert err == "" or err.rstrip().endswith("KeyboardInterrupt")
        assert is_gone(url)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    def test_a_forked_child_gets_its_own_and_leaves_the_parents(self) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-c", FORKS],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=120,
            check=False,
        )
        assert (done.stdout.split(), done.stderr) == (["True", "0", "True"], "")
