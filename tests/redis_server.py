"""A real Redis server for tests: the one of the system, or one unpacked beside the environment."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

if TYPE_CHECKING:
    from types import TracebackType

UNPACKED: Final = Path(os.environ.get("REDIS_UNPACKED", ".nox/redis")).absolute()
PROGRAM: Final = shutil.which("redis-server") or shutil.which(UNPACKED / "usr/bin/redis-server")
needs_redis: Final = pytest.mark.skipif(
    PROGRAM is None, reason="no redis-server here; nox fetches one where there is apt-get"
)


class RedisServer:
    """A server of its own, on loopback, that keeps nothing on disk."""

    def __init__(self, *options: str) -> None:
        """``options`` as on the command line of redis-server."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and return when it listens."""
        libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*-linux-gnu")))
        self._folder = tempfile.mkdtemp()
        places = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder)
        self._process = subprocess.Popen(
            [str(PROGRAM), *places, "--save", "", *self._options],
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                assert self._process.poll() is None, "redis-server has ended"
                assert time.monotonic() < deadline, "redis-server does not listen"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Kill it; what it kept is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            shutil.rmtree(self._folder)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
