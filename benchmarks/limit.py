"""A limit of 6,000 requests/min for 130 real seconds: how much is used, and is it ever broken?

Both are counted at the server, from the arrival of the first request: the share is of what the
limit allows in that time, and the busiest 60 s may begin at any request.
"""

from __future__ import annotations

import asyncio
import tempfile
from bisect import bisect_left
from itertools import chain, count, repeat
from pathlib import Path

from benchmarks.bare import Place
from benchmarks.contenders import prompts
from benchmarks.ours import client_at
from benchmarks.report import Row, Sizes, command_line, say
from benchmarks.server import serving, told_by

COMMAND = "python -m benchmarks.limit"
PER_MINUTE = 6_000
IN_FLIGHT = 200
SECONDS = 130.0
MINUTE = 60_000_000_000
SHARE = 0.98


def busiest(arrivals: list[int]) -> int:
    """The largest number of arrivals in any 60 s, the end excluded."""
    ends = (bisect_left(arrivals, start + MINUTE) for start in arrivals)
    return max((end - begin for begin, end in enumerate(ends)), default=0)


async def press(url: str, seconds: float) -> None:
    """Push prompts against the limit for that long, then leave."""
    with tempfile.TemporaryDirectory() as directory:
        place = Place(url, IN_FLIGHT, Path(directory))
        async with client_at(place, per_minute=PER_MINUTE) as client:
            endless = chain.from_iterable(map(prompts, count(), repeat(1)))
            try:
                async with asyncio.timeout(seconds):
                    async with client.process_stream(endless, show_progress=False) as responses:
                        async for response in responses:
                            response.raise_for_error()
            except TimeoutError:
                return


def measure(sizes: Sizes) -> list[Row]:
    """The rows of this benchmark; ``--quick`` leaves no 60 s to look at, so it is not shortened."""
    del sizes
    with serving() as url:
        asyncio.run(press(url, SECONDS + 1.0))
        _, arrivals = told_by(url)
    inside = bisect_left(arrivals, arrivals[0] + int(SECONDS * 1e9))
    share, most = inside / (PER_MINUTE * SECONDS / 60), busiest(arrivals)
    say(f"{inside} requests in {SECONDS:.0f} s, at most {most} in 60 s")
    what = f"limit of {PER_MINUTE:,} requests/min over {SECONDS:.0f} s"
    return [
        Row(f"{what}: used", f"{share:.1%}", f"≥ {SHARE:.0%}", share >= SHARE, COMMAND),
        Row(
            f"{what}: most in any 60 s, at the server",
            f"{most:,}",
            f"≤ {PER_MINUTE:,}",
            most <= PER_MINUTE,
            COMMAND,
        ),
    ]


if __name__ == "__main__":
    command_line(__doc__, measure)
