"""What a stream gives as text is the completion, in each dialect, whatever comes beside it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace.core.chunks import EndChunk, TextChunk
from headrace.core.errors import HeadraceError
from headrace.providers.catalog import CLASSES
from headrace.testing import frames
from tests.wire.golden import CODECS, Case, context, of_each_wire, route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from headrace.core.chunks import Chunk
    from headrace.core.reply import Reply

AS_BYTES: Final[dict[str, Any]] = {
    "sse": lambda event, data: frames.sse(data, event),
    "ndjson": lambda _event, data: data + b"\n",
    "event_stream": frames.aws_event,
}


class Streamed:
    """An exchange, and a reply whose body are these frames; the rest of it is never asked for."""

    status = 200

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.headers: Mapping[str, str] = {}

    @asynccontextmanager
    async def stream(self, *_: object) -> AsyncIterator[Streamed]:
        yield self

    async def read(self) -> Reply:
        raise AssertionError

    async def blocks(self) -> AsyncIterator[bytes]:
        yield self.body


def streamed(wire: str, case: Case) -> list[Chunk]:
    write = AS_BYTES[CODECS[wire].FRAMING]
    said = [(e, d if isinstance(d, str) else json.dumps(d)) for e, d in case["frames"]]
    exchange: Any = Streamed(b"".join(write(event, data.encode()) for event, data in said))

    async def main() -> list[Chunk]:
        request = CLASSES[wire](context(case), route(wire, case), exchange)
        return [chunk async for chunk in request.stream_once()]

    return asyncio.run(main())


@pytest.mark.parametrize(("wire", "case"), of_each_wire("streams"))
def test_chunks_of_text_are_the_completion(wire: str, case: Case) -> None:
    if "answer" not in case:
        with pytest.raises(HeadraceError):
            streamed(wire, case)
        return
    *chunks, end = streamed(wire, case)
    assert isinstance(end, EndChunk)
    assert end.response.completion == case["answer"]["completion"]
    said = [chunk.text for chunk in chunks if isinstance(chunk, TextChunk)]
    if case["case"] == "blocks out of order":  # what has been said cannot be put before itself
        said.sort()
    assert "".join(said) == end.response.completion
