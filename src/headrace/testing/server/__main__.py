"""``python -m headrace.testing.server``: a fake server for whatever runs beside it.

Its base URL for OpenAI clients is the first line it writes; it ends on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from typing import TYPE_CHECKING, Final

from headrace.testing import faults
from headrace.testing.plans import Random
from headrace.testing.server import FakeServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.testing.faults import Fault

NAMED: Final[dict[str, Callable[[], Fault]]] = {
    "drop": faults.DropBefore,
    "cut": faults.DropWithin,
    "close": faults.CloseAfter,
    "reset": faults.Reset,
    "long": faults.TooLongBody,
    "chunk": faults.BadChunk,
    "stall": faults.Stall,
    "gzip": faults.Gzip,
    "drip": lambda: faults.Drip(0.01),
    "oversized": lambda: faults.Oversized(1 << 30),
    "bomb": lambda: faults.Bomb(1 << 30),
    "json": lambda: faults.Body(b'{"id": "chatcmpl-1", "choices": [{"mess'),
    "html": lambda: faults.Body(b"<html><body>Bad gateway</body></html>", "text/html"),
    "empty": lambda: faults.Body(b""),
    "garbage": lambda: faults.Raw(b"\x00\x01 this is not HTTP\r\n\r\n"),
}
_SPEC: Final = re.compile(
    r"(?:(?P<code>\d{3})(?:@(?P<hint>\d*\.?\d+))?|(?P<name>[a-z]+)):(?P<share>\d*\.?\d+)"
)


def read_fault(text: str) -> tuple[Fault, float]:
    """Read ``500:0.1``, ``429@1.5:0.1`` (asking to wait 1.5 s) or ``drop:0.05``.

    Raises ``argparse.ArgumentTypeError`` for anything else.
    """
    found = _SPEC.fullmatch(text)
    if found is None or (found["name"] and found["name"] not in NAMED):
        msg = (
            f"{text!r} is no fault; write CODE:SHARE, CODE@SECONDS:SHARE or one of {_names()}:SHARE"
        )
        raise argparse.ArgumentTypeError(msg)
    if found["name"]:
        return NAMED[found["name"]](), float(found["share"])
    hint = float(found["hint"]) if found["hint"] else None
    return faults.limited(hint, int(found["code"])), float(found["share"])


def _names() -> str:
    return ", ".join(sorted(NAMED))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m headrace.testing.server", description=__doc__)
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, default=0, help="0: any free one")
    made.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    made.add_argument("--rate-limit", type=float, help="requests a minute")
    made.add_argument("--token-limit", type=float, help="tokens (words) a minute")
    made.add_argument("--burst-seconds", type=float, default=60.0, help="what a limit holds full")
    made.add_argument("--max-concurrent", type=int, help="429 above so many at a time")
    made.add_argument("--api-key", help="401 for any other key")
    made.add_argument(
        "--fail",
        type=read_fault,
        action="append",
        default=[],
        metavar="FAULT:SHARE",
        help=f"a status (500:0.1, 429@1.5:0.1) or one of {_names()}; may be repeated",
    )
    made.add_argument("--seed", type=int, default=0, help="of the choice of faults")
    made.add_argument("--keep", type=int, default=0, help="requests to log; 0 counts no prompts")
    return made


def server_of(arguments: argparse.Namespace) -> FakeServer:
    """The server that the command line asks for; raises ``ValueError`` for what is impossible."""
    return FakeServer(
        host=arguments.host,
        port=arguments.port,
        latency=arguments.latency,
        requests_per_minute=arguments.rate_limit,
        tokens_per_minute=arguments.token_limit,
        burst_seconds=arguments.burst_seconds,
        max_concurrent=arguments.max_concurrent,
        api_key=arguments.api_key,
        faults=Random(arguments.seed, dict(arguments.fail)) if arguments.fail else None,
        keep=arguments.keep,
    )


async def serve(server: FakeServer) -> None:
    """Run until a signal."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        await stopped.wait()


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    made = parser()
    try:
        server = server_of(made.parse_args(argv))
    except ValueError as error:
        made.error(str(error))
    try:
        asyncio.run(serve(server))
    except OSError as error:
        why = error.strerror or error
        made.error(f"it cannot listen at {server.host}:{server.port} ({why}); name another place")


if __name__ == "__main__":
    main()
