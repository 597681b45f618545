"""A reply whose head has come: its body is read whole, or handed on in blocks as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from headrace.adapters.http.naming import CAUGHT
from headrace.core.errors import ReplyError
from headrace.core.reply import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.client_reqrep import ClientResponse

    from headrace.adapters.http.naming import Naming

MAX_BODY: Final = 32 * 1024 * 1024
# Nothing of a stream is kept here, and 100,000 tokens with their log-probabilities are as much.
MAX_STREAM: Final = 8 * MAX_BODY


class HttpIncoming:
    """Implements ``providers.base.Incoming``; whoever has it closes it."""

    __slots__ = ("_naming", "_response", "headers", "status")

    def __init__(
        self, response: ClientResponse, headers: Mapping[str, str], naming: Naming
    ) -> None:
        """``headers`` are those that are kept."""
        self.status = response.status
        self.headers = headers
        self._response = response
        self._naming = naming

    async def read(self) -> Reply:
        """The whole body; see ``providers.base.Incoming``."""
        try:
            body = await read_whole(self._response)
            return Reply(self.status, self._naming.veil.over(body), self.headers)
        except CAUGHT as error:
            failed = self._naming.after_head(error)
        raise failed

    def blocks(self) -> AsyncIterator[bytes]:
        """The body as it comes; see ``providers.base.Incoming``."""
        return _Blocks(self._response, self._naming)

    def close(self) -> None:
        """Close the connection, unless the body came to its end: then it is in the pool by now."""
        self._response.close()


class _Blocks:
    """No generator: one that is left half-way would be closed some time later by the loop."""

    __slots__ = ("_naming", "_response", "_size", "_veil")

    def __init__(self, response: ClientResponse, naming: Naming) -> None:
        self._response = response
        self._naming = naming
        self._veil = naming.veil.over_blocks()
        self._size = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while block := await self._next():
            self._size += len(block)
            _check_size(self._size, MAX_STREAM, self._response)
            if shown := self._veil.over(block):
                return shown
        if held := self._veil.end():
            return held
        raise StopAsyncIteration

    async def _next(self) -> bytes:
        try:
            return await self._response.content.readany()
        except CAUGHT as error:
            failed = self._naming.after_head(error)
        raise failed


async def read_whole(response: ClientResponse) -> bytes:
    """A body of at most ``MAX_BODY``; raises ``ReplyError`` for a larger one."""
    length = response.content_length
    if length is not None and length <= MAX_BODY and "Content-Encoding" not in response.headers:
        return await response.read()  # which closes the connection when it fails
    try:
        return await _read_capped(response, length or 0)
    except BaseException:
        response.close()
        raise


async def _read_capped(response: ClientResponse, announced: int) -> bytes:
    _check_size(announced, MAX_BODY, response)
    blocks, size = [], 0
    async for block in response.content.iter_any():
        size += len(block)
        _check_size(size, MAX_BODY, response)
        blocks.append(block)
    return b"".join(blocks)


def _check_size(size: int, most: int, response: ClientResponse) -> None:
    if size > most:
        msg = (
            f"the reply is larger than {most >> 20} MiB and was not read to its end;"
            " check that the base_url is that of an API"
        )
        raise ReplyError(msg, status=response.status)
