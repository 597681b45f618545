"""A minimal, fast loopback server in its own process: every POST gets the same chat completion.

``python -m benchmarks.server --latency 0.5`` prints its port. GET ``/arrivals`` tells when each
request came in, so that a limit can be counted where it matters.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import re
import socket
import subprocess
import sys
import time
import urllib.request
from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)\r\n")
BACKLOG = 4096
GOLDEN = 0.6180339887498949
ANSWER = ("The water runs down the channel and turns the wheel without a pause. " * 6)[:400]


def http(body: bytes) -> bytes:
    """A keep-alive reply with ``body`` as JSON."""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"x-request-id: req_0123456789\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}
REPLY = http(
    orjson.dumps(
        {
            "id": "chatcmpl-0123456789",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "fake",
            "choices": [CHOICE],
            "usage": {"prompt_tokens": 60, "completion_tokens": 80, "total_tokens": 140},
        }
    )
)


def whole_request(data: bytes) -> int:
    """The length of the first request in ``data``, or 0 while some of it is missing."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    length = LENGTH.search(data, 0, head + 2)
    end = head + 4 + (int(length[1]) if length else 0)
    return end if end <= len(data) else 0


class Served:
    """What all connections share: the latency in seconds and the nanoseconds of every arrival.

    ``spread`` 0.5 makes latencies from half of ``latency`` to one and a half, evenly and always in
    the same order: without it replies keep coming in the bursts in which the requests began.
    """

    def __init__(self, latency: float, spread: float) -> None:
        self.latency = latency
        self.spread = spread
        self.arrivals = array("q")

    def next_latency(self) -> float:
        """Seconds until the latest arrival is to be answered."""
        place = len(self.arrivals) * GOLDEN % 1.0
        return self.latency * (1.0 + self.spread * (2.0 * place - 1.0))

    def report(self) -> bytes:
        """CPU seconds of this process and the arrivals since its start, as a reply."""
        told = {"cpu": time.process_time(), "arrivals": self.arrivals.tolist()}
        return http(orjson.dumps(told))


class Exchange(asyncio.Protocol):
    """One connection. It reads no more of a request than where it ends."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._kept = b""
        self._write: Callable[[bytes], object] = bytes
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and its ``write``."""
        # No isinstance: uvloop's transport is one by its methods only.
        self._transport = cast("asyncio.Transport", transport)
        self._write = self._transport.write

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole by now."""
        if self._kept:
            data = self._kept + data
        while end := whole_request(data):
            self._answer(data)
            data = data[end:]
        self._kept = data

    def _answer(self, data: bytes) -> None:
        served = self._served
        if data.startswith(b"GET"):
            self._write(served.report())
            return
        served.arrivals.append(time.monotonic_ns())
        if served.latency:
            asyncio.get_running_loop().call_later(served.next_latency(), self._late)
        else:
            self._write(REPLY)

    def _late(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._write(REPLY)


async def serve(served: Served, *, until_eof: bool) -> None:
    """Serve until cancelled, or until the parent that holds our stdin is gone."""
    loop = asyncio.get_running_loop()
    door = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    server = await loop.create_server(lambda: Exchange(served), sock=door, backlog=BACKLOG)
    print(door.getsockname()[1], flush=True)
    if until_eof:
        await loop.run_in_executor(None, sys.stdin.read)
        server.close()
    else:
        await server.serve_forever()


@contextmanager
def serving(latency: float = 0.0, spread: float = 0.0) -> Iterator[str]:
    """A server process for the time of a block; gives its base URL."""
    command = [sys.executable, "-m", "benchmarks.server", "--until-eof"]
    command += ["--latency", str(latency), "--spread", str(spread)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def told_by(url: str) -> tuple[float, list[int]]:
    """The CPU seconds of the server at ``url`` so far, and when (ns) each request reached it."""
    with urllib.request.urlopen(f"{url}/arrivals", timeout=60) as reply:  # noqa: S310 - our own server
        told = orjson.loads(reply.read())
    return float(told["cpu"]), [int(moment) for moment in told["arrivals"]]


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: here it shortens the server, never a contender."""
    try:
        found = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", found)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--spread", type=float, default=0.0, help="share of it, up and down")
    parser.add_argument("--until-eof", action="store_true", help="stop when stdin ends")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(Served(given.latency, given.spread), until_eof=given.until_eof))


if __name__ == "__main__":
    main()
