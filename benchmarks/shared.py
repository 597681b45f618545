"""Four processes on one limit of 6,000 requests/min, shared through Redis and through a file.

Each way takes 130 real seconds. As in ``benchmarks.limit`` all is counted at the server, from the
arrival of the first request.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from bisect import bisect_left
from contextlib import ExitStack
from pathlib import Path

from benchmarks.limit import MINUTE, PER_MINUTE, SECONDS, busiest
from benchmarks.report import Row, Sizes, absent_row, command_line, say
from benchmarks.server import serving, told_by
from tests.redis_server import PROGRAM, RedisServer

COMMAND = "python -m benchmarks.shared"
PROCESSES = 4
SHARE = 0.97
PUSH = """
import asyncio, itertools, sys
from headrace import LLMClient

async def main(url, place, per_minute, seconds):
    client = LLMClient(
        "openai/fake", base_url=url, shared_limits=place, max_requests_per_minute=float(per_minute)
    )
    prompts = (f"{url} {number}" for number in itertools.count())
    async with client:
        try:
            async with asyncio.timeout(float(seconds)):
                async with client.process_stream(prompts) as responses:
                    async for response in responses:
                        response.raise_for_error()
        except TimeoutError:
            pass

asyncio.run(main(*sys.argv[1:]))
"""


def push(url: str, place: str) -> list[int]:
    """Nanoseconds of all arrivals, while four processes push as hard as they may."""
    command = [sys.executable, "-c", PUSH, url, place, str(PER_MINUTE), str(SECONDS + 1.0)]
    processes = [subprocess.Popen(command) for _ in range(PROCESSES)]
    codes = [process.wait() for process in processes]
    if any(codes):
        sentence = "a process that pushed has failed"
        raise RuntimeError(sentence)
    return told_by(url)[1]


def rows(what: str, arrivals: list[int]) -> list[Row]:
    """How much was used, and the most in a minute."""
    inside = bisect_left(arrivals, arrivals[0] + int(SECONDS * 1e9))
    share, most = inside / (PER_MINUTE * SECONDS * 1e9 / MINUTE), busiest(arrivals)
    say(f"{what}: {inside} requests in {SECONDS:.0f} s, at most {most} in 60 s")
    name = f"{PROCESSES} processes on one limit of {PER_MINUTE:,}/min through {what}"
    return [
        Row(f"{name}: used together", f"{share:.1%}", f"≥ {SHARE:.0%}", share >= SHARE, COMMAND),
        Row(
            f"{name}: most in any 60 s, at the server",
            f"{most:,}",
            f"≤ {PER_MINUTE:,}",
            most <= PER_MINUTE,
            COMMAND,
        ),
    ]


def measure(sizes: Sizes) -> list[Row]:
    """The rows of this benchmark; ``--quick`` leaves no 60 s to look at, so it is not shortened."""
    del sizes
    found: list[Row] = []
    for what in ("Redis", "a file"):
        if what == "Redis" and PROGRAM is None:
            found.append(absent_row("a limit shared through Redis", "no redis-server", COMMAND))
            continue
        with ExitStack() as stack:
            url = stack.enter_context(serving(latency=0.2, spread=0.5))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            place = str(folder / "limits.db")
            if what == "Redis":
                place = stack.enter_context(RedisServer()).url
            found += rows(what, push(url, place))
    return found


if __name__ == "__main__":
    command_line(__doc__, measure)
