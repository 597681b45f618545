"""Where prompts are drawn from, and how that ends.

A generator belongs to the run that draws from it: what was drawn ahead is lost to whoever would go
on with it, and what it holds open would stay open until the garbage collector comes. So a run that
has begun to draw closes it on the way out. Everything else, files above all, is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable
from contextlib import asynccontextmanager

_log = logging.getLogger("headrace")


@asynccontextmanager
async def opened(
    prompts: Iterable[object] | AsyncIterable[object],
) -> AsyncIterator[Iterable[object] | AsyncIterable[object]]:
    """What a run draws from; of an async iterable its iterator, so that it can be closed."""
    source = aiter(prompts) if isinstance(prompts, AsyncIterable) else prompts
    try:
        yield source
    finally:
        await _close(source)


async def _close(source: object) -> None:
    try:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
        elif isinstance(source, Generator):
            source.close()
    except Exception:  # noqa: BLE001  the caller's own code, which hides nothing of the run
        _log.exception("the generator of prompts failed while it was closed; the run is safe")
