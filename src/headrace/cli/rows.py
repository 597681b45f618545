"""The input: lines of JSON become contexts, one at a time; a bad line becomes a bad row.

Rows are counted from 0, blank lines do not count. To see that an id comes twice, 16 bytes of each
id's hash are remembered: about 110 bytes of memory a row, all told.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, Never, cast

import orjson

from headrace.core.context import RequestContext
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.params import SamplingParams

if TYPE_CHECKING:
    from headrace.core.conversation import Prompt

BOM: Final = b"\xef\xbb\xbf"
CHUNK: Final = 1 << 16
# What an OpenAI batch body holds beside parameters, or what headrace decides itself.
NOT_PARAMETERS: Final = frozenset({"model", "messages", "stream", "stream_options"})


def mark(name: str) -> bytes:
    """16 bytes that stand for an id."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_json(line: bytes) -> object:
    """Read one line; lone surrogates, which orjson refuses, are for the row's own check.

    Raises ``ValueError`` with what is wrong.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if b"\\u" not in line:
            raise
        try:
            return json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise error from None


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)


class Input:
    """The file of prompts, or stdin for ``-``."""

    def __init__(self, path: str) -> None:
        """Open it; raises ``ConfigError`` when there is nothing to read."""
        self.path = path
        try:
            self.file: BinaryIO = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: PTH123, SIM115 - closed by close()
            self.status = os.fstat(self.file.fileno())
        except OSError as error:
            said = f"cannot read the input {path}: {error.strerror or error}; see that it is there"
            raise ConfigError(said) from None

    @property
    def is_regular(self) -> bool:
        """A file, which can be counted first and never makes us wait."""
        return stat.S_ISREG(self.status.st_mode)

    def count(self) -> int | None:
        """How many rows there are; None when they only come by and by."""
        if not self.is_regular:
            return None
        try:
            start = self.file.tell()
            rows = sum(1 for line in self.file if not line.isspace())
            self.file.seek(start)
        except OSError as error:
            said = f"cannot read the input {self.path}: {error.strerror or error}"
            raise ConfigError(said) from None
        return rows

    def contexts(self) -> Iterator[RequestContext] | AsyncIterator[RequestContext]:
        """Every row, read when it is asked for."""
        if self.is_regular:
            return Rows().read(self.file)
        return Rows().read_as_they_come(_piped(self.file.fileno()))

    def close(self) -> None:
        """Close what was opened here."""
        if self.path != "-":
            self.file.close()


async def _piped(fd: int) -> AsyncIterator[bytes]:
    """Lines of a pipe or a terminal; the event loop goes on while there are none."""
    parts: list[bytes] = []
    while chunk := await _beside(lambda: os.read(fd, CHUNK)):
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*parts, line))
            parts.clear()
        parts.append(rest)
    yield b"".join(parts)


async def _beside(read: Callable[[], bytes]) -> bytes:
    """Call ``read`` in a thread that does not keep the program from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def settle(chunk: bytes, error: OSError | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(chunk)
        else:
            future.set_exception(error)

    def work() -> None:
        chunk, failure = b"", None
        try:
            chunk = read()
        except OSError as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, chunk, failure)

    threading.Thread(target=work, name="headrace-input", daemon=True).start()
    return await future


class Rows:
    """Makes a context of each line, and remembers which ids are taken."""

    def __init__(self) -> None:
        self._taken: set[bytes] = set()
        self._lines = 0
        self._rows = 0

    def read(self, lines: Iterable[bytes]) -> Iterator[RequestContext]:
        """The rows of a file."""
        for line in lines:
            if (context := self.row(line)) is not None:
                yield context

    async def read_as_they_come(self, lines: AsyncIterator[bytes]) -> AsyncIterator[RequestContext]:
        """The rows of a pipe."""
        async for line in lines:
            if (context := self.row(line)) is not None:
                yield context

    def row(self, line: bytes) -> RequestContext | None:
        """The context of one line; None for a blank one. What is wrong is in its prompt."""
        self._lines += 1
        if self._lines == 1:
            line = line.removeprefix(BOM)
        if not line or line.isspace():
            return None
        number = self._rows
        self._rows += 1
        name = str(number)
        try:
            data = _object(line)
            name = _name(data, name)
            context = _context(data, name)
        except BadRowError as error:
            context = self._bad(name, str(error))
        return self._with_own_id(context, number)

    def _bad(self, name: str, reason: str) -> RequestContext:
        return RequestContext(prompt=Unreadable(f"line {self._lines}: {reason}"), id=name)

    def _with_own_id(self, context: RequestContext, number: int) -> RequestContext:
        name = context.name
        digest = mark(name)
        if digest in self._taken:
            said = f"the id {name!r} is that of an earlier row; give each row an id of its own"
            name = f"{name}#{number}"
            while (digest := mark(name)) in self._taken:
                name += "#"
            context = self._bad(name, said)
        self._taken.add(digest)
        return context


class Unreadable(list[Mapping[str, object]]):
    """Stands where a prompt would: whoever reads it gets the reason as ``BadRowError``.

    So a bad row goes the way of all rows, is counted with them and keeps its place in the order.
    """

    def __init__(self, reason: str) -> None:
        """Not empty, since an empty prompt has an error of its own."""
        super().__init__([{}])
        self._reason = reason

    def __iter__(self) -> Never:
        raise BadRowError(self._reason)


def _object(line: bytes) -> dict[str, object]:
    try:
        data = read_json(line)
    except ValueError as error:
        said = f"not JSON ({error}); each line must be one JSON object or string, in UTF-8"
        raise BadRowError(said) from None
    if isinstance(data, str):
        return {"prompt": data}
    if isinstance(data, dict):
        return data
    kind = "null" if data is None else f"a {type(data).__name__}"
    raise BadRowError(
        f'a row must be an object with "prompt" or "messages", or a string, not {kind}'
    )


def _name(data: dict[str, object], default: str) -> str:
    value = data.get("id", data.get("custom_id"))
    if value is None:
        return default
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadRowError(f"the id must be a string or a whole number, not {value!r}")


def _context(data: dict[str, object], name: str) -> RequestContext:
    prompt, params = _asked(data)
    return RequestContext(
        prompt=prompt,
        id=name,
        params=params,
        model=_model(data.get("model")),
        tags=_tags(data.get("tags")),
        deadline=_deadline(data.get("deadline")),
    )


def _asked(data: dict[str, object]) -> tuple[Prompt, SamplingParams | None]:
    """The prompt and the parameters, whatever form the row has."""
    if "body" in data:
        return _batch(data)
    given = [key for key in ("prompt", "messages") if data.get(key) is not None]
    if len(given) != 1:
        said = "has both; leave one out" if given else 'has neither "prompt" nor "messages"'
        raise BadRowError(f"the row {said}")
    params = data.get("params")
    own = None if params is None else SamplingParams.from_row(params)
    return cast("Prompt", data[given[0]]), own


def _batch(data: dict[str, object]) -> tuple[Prompt, SamplingParams | None]:
    """The OpenAI batch form. Its model gives way to the one of the command line."""
    url, body = data.get("url", "/v1/chat/completions"), data["body"]
    data.pop("model", None)
    if not isinstance(url, str) or not url.endswith("/chat/completions"):
        raise BadRowError(f"the url {url!r} is not /v1/chat/completions, which is all there is yet")
    if not isinstance(body, dict) or body.get("messages") is None:
        raise BadRowError('the body of a batch row must be an object with "messages"')
    given = {k: v for k, v in body.items() if v is not None and k not in NOT_PARAMETERS}
    bound = given.pop("max_completion_tokens", None)
    if bound is not None:
        given["max_tokens"] = bound
    known = {k: given.pop(k) for k in SamplingParams.model_fields if k in given}
    if given:
        known["extra_body"] = given
    return body["messages"], SamplingParams.from_row(known) if known else None


def _model(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise BadRowError(f'the model must be a string "endpoint/model", not {value!r}')


def _tags(value: object) -> Mapping[str, object] | None:
    if value is None or isinstance(value, dict):
        return value
    raise BadRowError(f"tags must be an object, not {value!r}")


def _deadline(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    raise BadRowError(f"the deadline must be a number of seconds above zero, not {value!r}")
