"""The model in the box: SmolLM2-135M-Instruct, served by llama.cpp on loopback.

The one door to xllamacpp. It is imported in a child process only: inside ours its destructor
waits under the GIL for requests that need the GIL, a forked child hangs or aborts at its exit,
and a failed assertion of the native code would end the user's run with it.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, Self, TypedDict

from headrace.adapters.weights import model_path
from headrace.core.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LocalServer", "model_path", "shared"]

# Measured on two idle cores with two threads, 32 short prompts of 48 output tokens: 1 slot 10.3 s,
# 2 slots 9.7 s, 4 slots 8.7 s, 8 slots 8.2 s, 16 slots 8.3 s; a slot of 2,048 tokens costs 47 MB.
_PARALLEL: Final = 4
_N_CTX: Final = 2048
# What SmolLM2 was trained for.
_LONGEST_CTX: Final = 8192
# One core is left free, since llama.cpp's threads spin for each other: on two cores one thread
# takes 13.5 s for the above where two take 8.7, but 15 to 32 s where others work and two 45 to 100.
_MOST_THREADS: Final = 4
# Seconds: a start takes half of one; a cold disk and a busy machine take more.
_START_LIMIT: Final = 120.0
_END_LIMIT: Final = 2.0


# SmolLM2's own template has no place for tools.
_TEMPLATE: Final = Path(__file__).with_name("smollm2.jinja")


class _Settings(TypedDict):
    path: str
    template: str
    n_ctx: int
    parallel: int


class LocalServer:
    """llama.cpp's server in a child process, on a free port of 127.0.0.1, without a key.

    A context manager. The child ends when ``close`` is called and, however this process ends,
    with it: it reads a pipe that closes then. Several servers may run side by side.
    """

    def __init__(self, weights: Path | None = None) -> None:
        """``weights`` is a GGUF file; None: SmolLM2, fetched at the first start."""
        self._weights = weights
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def start(self, *, n_ctx: int = _N_CTX, parallel: int = _PARALLEL) -> Self:
        """Start and wait until it answers, half a second when the weights are there.

        ``parallel`` requests are answered at once, each in a context of ``n_ctx`` tokens; more
        wait in the server. Raises ``ConfigError`` with what to change.
        """
        if self.running:
            return self
        if not (1 <= n_ctx <= _LONGEST_CTX and parallel >= 1):
            raise ConfigError(
                f"the local model takes n_ctx from 1 to {_LONGEST_CTX} and parallel from 1, "
                f"not {n_ctx} and {parallel}"
            )
        if importlib.util.find_spec("xllamacpp") is None:
            raise ConfigError("the local model needs the extra: pip install 'headrace[local]'")
        self.close()
        path = self._weights or model_path()
        template = "" if self._weights else _TEMPLATE.read_text(encoding="utf-8")
        self._launch(
            {"path": str(path), "template": template, "n_ctx": n_ctx, "parallel": parallel}
        )
        return self

    @property
    def running(self) -> bool:
        """Is it started and alive?"""
        return self._process is not None and self._process.poll() is None

    @property
    def anthropic_url(self) -> str:
        """The base URL of the Anthropic Messages API, without ``/v1``; empty before the start."""
        return self._url

    @property
    def base_url(self) -> str:
        """The base URL of the OpenAI API, with ``/v1``; empty before the start."""
        return self._url and f"{self._url}/v1"

    def close(self) -> None:
        """End the server and whatever it is answering; may be called twice."""
        process, self._process, self._url = self._process, None, ""
        if process is None:
            return
        _close_pipes(process)
        try:
            process.wait(_END_LIMIT)
        except subprocess.TimeoutExpired:  # pragma: no cover - only if the child is stopped
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _launch(self, settings: _Settings) -> None:
        self._process = process = _spawn(settings)
        _live.add(self)
        try:
            told = _first_line(process)
            self._url = _url_in(told, process, settings["path"])
        except BaseException:
            self.close()
            raise

    def abandon(self) -> None:
        """In a forked child: let go of the parent's server without ending it.

        Called by itself; ``start`` then gives the child a server of its own.
        """
        process, self._process, self._url = self._process, None, ""
        if process is not None:
            _close_pipes(process)
            # It is not our child: nothing to wait for, nothing to warn of.
            process.returncode = 0


def _spawn(settings: _Settings) -> subprocess.Popen[bytes]:
    # -P: the folder of this file holds modules named like those of the standard library.
    # There is no interpreter to name (None) where Python is built into another program.
    command = [sys.executable or "", "-P", "-m", "headrace.adapters.local", json.dumps(settings)]
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter and this module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            # Ctrl-C is for us: the answers in flight are still wanted.
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(
            f"the local model needs a Python interpreter to run in and {sys.executable!r} does "
            f"not start ({error.strerror or error}); run headrace with a plain Python"
        ) from error


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """What the child says when it is ready; empty if it died or took too long."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    watchdog = threading.Timer(_START_LIMIT, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        return process.stdout.readline()
    finally:
        watchdog.cancel()
        # A thread that still ends would make a fork right after this one look unsafe.
        watchdog.join()


def _url_in(told: bytes, process: subprocess.Popen[bytes], path: str) -> str:
    answer = json.loads(told) if told.endswith(b"\n") else {}
    if "url" in answer:
        return str(answer["url"])
    reason = answer.get("error") or f"its process ended with code {process.wait()}"
    raise ConfigError(
        f"the local model did not start ({reason}); see that there is memory for it, and delete "
        f"{path} if it may be damaged: it is fetched again"
    )


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in filter(None, (process.stdin, process.stdout)):
        pipe.close()


_live: weakref.WeakSet[LocalServer] = weakref.WeakSet()
_shared: Final = LocalServer()
_lock = threading.Lock()


def shared() -> LocalServer:
    """The server of this process: started at the first call, again if it died, closed at exit.

    Safe from any thread; blocks while it starts, so call it off the event loop. A forked child
    gets one of its own. Raises ``ConfigError``.
    """
    with _lock:
        return _shared.start()


@atexit.register
def _close_all() -> None:
    for server in list(_live):
        server.close()


def _after_fork() -> None:
    # The lock may be held by a thread that does not exist here.
    global _lock  # noqa: PLW0603 - the one place that replaces it
    _lock = threading.Lock()
    for server in list(_live):
        server.abandon()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows does not fork
    os.register_at_fork(after_in_child=_after_fork)


class _Listening(Protocol):
    """What is used of ``xllamacpp.Server``, which serves from its own threads while it lives."""

    listening_address: str


def _serve(settings: _Settings) -> NoReturn:
    """The child process: serve until the parent's end of standard input closes."""
    # Native code may write to standard output, which is the line to the parent.
    parent = os.dup(1)
    os.dup2(2, 1)
    try:
        server = _llama(settings)
        os.write(parent, json.dumps({"url": server.listening_address}).encode() + b"\n")
        sys.stdin.buffer.read()
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells the user
        os.write(parent, json.dumps({"error": str(error)}).encode() + b"\n")
    finally:
        # Without destructors: they wait for the answers in flight.
        os._exit(0)


def _llama(settings: _Settings) -> _Listening:
    import xllamacpp  # noqa: PLC0415 - the one door of an optional extra

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {"smollm2"}
    params.chat_template = settings["template"]
    params.n_parallel = settings["parallel"]
    params.n_ctx = settings["n_ctx"] * settings["parallel"]
    params.cpuparams.n_threads = max(1, min(_MOST_THREADS, _cores() - 1))
    # What the model's authors recommend, for requests that set nothing.
    params.sampling.temp, params.sampling.top_p = 0.2, 0.9
    # Only loopback, any free port, no downloads, no browser, nothing that shows others' prompts.
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.offline, params.ui, params.endpoint_slots, params.cors_origins = True, False, False, ""
    # No second cache of up to 8 GB in memory, no fitting to a graphics card.
    params.cache_ram_mib, params.cache_idle_slots, params.fit_params = 0, False, False
    params.verbosity = -1
    server: _Listening = xllamacpp.Server(params)
    return server


def _cores() -> int:
    """How many we may use, where the system says so; a container may be given a few of many."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
