"""The input: lines of JSON become contexts, one at a time; a bad line becomes a bad row.

Rows are counted from 0, blank lines do not count. To see that an id comes twice, 16 bytes of each
id's hash are remembered: about 110 bytes of memory a row, all told.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import reprlib
import stat
import sys
from array import array
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Final, Never, cast

import orjson

from headrace.cli.forms import called, check_form
from headrace.cli.pipe import CHUNK, lines_of
from headrace.cli.shapes import Asked, batch_asked, take_shape, with_body
from headrace.core.context import RequestContext
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.params import SamplingParams

if TYPE_CHECKING:
    from headrace.core.conversation import Prompt
    from headrace.core.response import APIResponse
    from headrace.core.tools import AnyTool

BOM: Final = b"\xef\xbb\xbf"
# Far from where orjson (254) and Python's own stack give up on writing a row again.
DEEPEST: Final = 200
# Fields without which a row would be another one, but not visibly.
_QUIET: Final = (
    "params",
    "model",
    "tags",
    "deadline",
    "custom_id",
    "tools",
    "output_schema",
    "response_format",
)
_PROMPTS: Final = ("prompt", "messages")
_KNOWN: Final = frozenset({*_QUIET, *_PROMPTS, "id", "method", "url", "body"})
_PARAMETERS: Final = frozenset(SamplingParams.model_fields)
# What a row may ask for beside its text, and where it belongs.
_IN_CONTENT: Final = 'put it into "messages", as a part of a message\'s content'
_ELSEWHERE: Final = {
    "system": 'put it into "messages", as {"role": "system", "content": …}',
    "image": _IN_CONTENT,
    "images": _IN_CONTENT,
    "functions": 'put them into "tools"',
}
_OTHER_NAMES: Final = {"sampling_params": "params", "parameters": "params"}


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
        """Open it; raises ``ConfigError`` when there are no lines to read."""
        self.path = path
        self._rows = Rows()
        try:
            self.file: BinaryIO = _stdin() if path == "-" else open(path, "rb")  # noqa: PTH123, SIM115 - closed by close()
            self.status = os.fstat(self.file.fileno())
            if self.is_regular and isinstance(self.file, io.BufferedReader):
                check_form(self._first(self.file), path)
        except OSError as error:
            is_directory = isinstance(error, IsADirectoryError)
            what = (
                "give the path of a file" if is_directory else "see that it is there and readable"
            )
            said = f"cannot read {called(path)}: {error.strerror or error}; {what}"
            raise ConfigError(said) from None
        except ConfigError:
            self.close()
            raise

    def _first(self, file: io.BufferedReader) -> bytes:
        """What it begins with; the reader does not move on."""
        try:
            return file.peek(CHUNK)
        except OSError:
            self.close()
            raise

    @property
    def is_begun(self) -> bool:
        """Was any row drawn from it?"""
        return self._rows.drawn > 0

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
            said = f"cannot read {called(self.path)}: {error.strerror or error}"
            raise ConfigError(said) from None
        return rows

    def contexts(self) -> Iterator[RequestContext] | AsyncIterator[RequestContext]:
        """Every row, read when it is asked for."""
        if self.is_regular:
            return self._rows.read(self.file)
        return self._rows.read_as_they_come(lines_of(self.file.fileno(), self.path))

    def naming(self, response: APIResponse[object]) -> APIResponse[object]:
        """The response itself, or, of a bad row, one whose error names the line of the input."""
        if not isinstance(response.error, BadRowError):
            return response
        said = f"line {self._rows.line(response.index)}: {response.error.message}"
        return replace(response, error=BadRowError(said))

    def close(self) -> None:
        """Close what was opened here."""
        if self.path != "-":
            self.file.close()


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise ConfigError("the standard input is closed; give the path of a file")
    return sys.stdin.buffer


class Rows:
    """Makes a context of each line, and remembers which ids are taken."""

    def __init__(self) -> None:
        self._taken: set[bytes] = set()
        self.drawn = 0
        # Of each blank line, which row comes next.
        self._blank = array("Q")

    def line(self, row: int) -> int:
        """In which line, from 1, a row stands."""
        return row + 1 + bisect_right(self._blank, row)

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
        if self.drawn + len(self._blank) == 0:
            line = line.removeprefix(BOM)
        if not line or line.isspace():
            self._blank.append(self.drawn)
            return None
        number = self.drawn
        self.drawn += 1
        name = None
        try:
            data = _object(line)
            name = _name(data)
            context = _context(data, str(number) if name is None else name)
        except BadRowError as error:
            context = _bad(str(number) if name is None else name, str(error))
        return self._with_own_id(context, number, has_id=name is not None)

    def _with_own_id(self, context: RequestContext, number: int, *, has_id: bool) -> RequestContext:
        name = context.name
        digest = mark(name)
        if digest in self._taken:
            said = f"the id {name!r} is that of an earlier row; give each row an id of its own"
            if not has_id:
                said = f"it has no id, and its number {number} is the id of an earlier row"
                said += "; give it an id"
            name = f"{name}#{number}"
            while (digest := mark(name)) in self._taken:
                name += "#"
            context = _bad(name, said)
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


def _bad(name: str, reason: str) -> RequestContext:
    return RequestContext(prompt=Unreadable(reason), id=name)


def _object(line: bytes) -> dict[str, object]:
    try:
        data = read_json(line)
    except ValueError as error:
        at = getattr(error, "colno", None)
        why = error if at is None else f"{getattr(error, 'msg', error)}, column {at}"
        said = f"not JSON ({why}); each line must be one JSON object or string, in UTF-8"
        raise BadRowError(said) from None
    if isinstance(data, str):
        return {"prompt": data}
    if isinstance(data, dict):
        if line.count(b"[") + line.count(b"{") > DEEPEST:
            _check_depth(data)
        return data
    kind = "null" if data is None else f"a {type(data).__name__}"
    raise BadRowError(
        f'a row must be an object with "prompt" or "messages", or a string, not {kind}'
    )


def _check_depth(data: dict[str, object]) -> None:
    """Refuse what could be read, but not written again."""
    level: list[dict[str, object] | list[object]] = [data]
    for _ in range(DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return
    raise BadRowError(f"the row is nested more than {DEEPEST} levels deep; make it flatter")


def _name(data: dict[str, object]) -> str | None:
    value = data.get("id", data.get("custom_id"))
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadRowError(f"the id must be a string or a whole number, not {reprlib.repr(value)}")


def _context(data: dict[str, object], name: str) -> RequestContext:
    asked = _asked(data)
    return RequestContext(
        prompt=asked.prompt,
        id=name,
        params=asked.params,
        model=_model(data.get("model")),
        tags=_tags(data.get("tags")),
        deadline=_deadline(data.get("deadline")),
        tools=() if asked.tools is None else cast("tuple[AnyTool, ...]", asked.tools),
        output_schema=asked.schema,
    )


def _asked(data: dict[str, object]) -> Asked:
    """What a row asks for, whatever form it has."""
    given = [key for key in _PROMPTS if data.get(key) is not None]
    _check_names(data, has_prompt=bool(given or "body" in data))
    if "body" in data and not given:
        return batch_asked(data)
    if len(given) != 1:
        said = "has both; leave one out" if given else 'has neither "prompt" nor "messages"'
        raise BadRowError(f"the row {said}")
    params, shape = data.get("params"), take_shape(data)
    own = None if params is None else SamplingParams.from_row(params)
    if "response_format" in data:  # without a schema it is one server's own
        own = SamplingParams.from_row(with_body(own, data["response_format"]))
    return Asked(cast("Prompt", data[given[0]]), own, data.get("tools"), shape)


def _check_names(data: dict[str, object], *, has_prompt: bool) -> None:
    """Refuse a field that was meant to be one of ours; other columns are the user's own."""
    others = data.keys() - _KNOWN
    if not others:
        return
    wanted = [name for name in (_QUIET if has_prompt else _QUIET + _PROMPTS) if name not in data]
    for key in sorted(others):
        if key in _PARAMETERS:
            raise BadRowError(f'{key} is a sampling parameter; put it into "params"')
        if key in _ELSEWHERE and data[key] is not None:
            raise BadRowError(_belongs(key))
        for name in wanted:
            if _is_like(key, name):
                said = f'the field {reprlib.repr(key)} looks like a misspelt "{name}"'
                raise BadRowError(f'{said}; correct it, or put a column of your own into "tags"')


def _belongs(key: str) -> str:
    said = f"{key} is no field of a row; {_ELSEWHERE[key]}"
    return f'{said} (a column of your own goes into "tags")'


@lru_cache(maxsize=1024)
def _is_like(key: str, name: str) -> bool:
    """Another word for it, or a slip: a letter wrong, missing or too many, or two that swapped."""
    word = key.strip().lower()
    if _OTHER_NAMES.get(word) == name:
        return True
    while word and name and word[0] == name[0]:
        word, name = word[1:], name[1:]
    while word and name and word[-1] == name[-1]:
        word, name = word[:-1], name[:-1]
    return max(len(word), len(name)) <= 1 or (len(word) == len("ab") and word == name[::-1])


def _model(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise BadRowError(f'the model must be a string "endpoint/model", not {reprlib.repr(value)}')


def _tags(value: object) -> Mapping[str, object] | None:
    if value is None or isinstance(value, dict):
        return value
    raise BadRowError(f"tags must be an object, not {reprlib.repr(value)}")


def _deadline(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    said = f"the deadline must be a number of seconds above zero, not {reprlib.repr(value)}"
    raise BadRowError(said)
