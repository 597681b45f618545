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
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Final, Never, cast

import orjson

from headrace.cli.chat import CHAT
from headrace.cli.fields import Fields, asked_of
from headrace.cli.forms import called, check_form
from headrace.cli.pipe import CHUNK, lines_of
from headrace.core.bounds import SPAN, is_span
from headrace.core.context import RequestContext
from headrace.core.errors import BadRowError, ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from headrace.core.response import APIResponse
    from headrace.core.tools import AnyTool

BOM: Final = b"\xef\xbb\xbf"
# Far from where orjson (254) and Python's own stack give up on writing a row again.
DEEPEST: Final = 200


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

    def __init__(self, path: str, fields: Fields | None = None) -> None:
        """Open it; raises ``ConfigError`` when there are no lines to read."""
        self.path = path
        self._rows = Rows(fields)
        self._command = self._rows.fields.command
        try:
            self.file: BinaryIO = _stdin() if path == "-" else open(path, "rb")  # noqa: PTH123, SIM115 - closed by close()
            self.status = os.fstat(self.file.fileno())
            if self.is_regular and isinstance(self.file, io.BufferedReader):
                check_form(self._first(self.file), path, self._command)
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
        lines = lines_of(self.file.fileno(), self.path, self._command)
        return self._rows.read_as_they_come(lines)

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

    def __init__(self, fields: Fields | None = None) -> None:
        """``fields``: those of chat, if not given."""
        self.fields = CHAT if fields is None else fields
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
            data = _object(line, self.fields)
            name = _name(data)
            context = _context(data, str(number) if name is None else name, self.fields)
        except BadRowError as error:
            context = self._bad(str(number) if name is None else name, str(error))
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
            context = self._bad(name, said)
        self._taken.add(digest)
        return context

    def _bad(self, name: str, reason: str) -> RequestContext:
        return RequestContext(prompt=self.fields.bad(reason), id=name)


def _object(line: bytes, fields: Fields) -> dict[str, object]:
    try:
        data = read_json(line)
    except ValueError as error:
        at = getattr(error, "colno", None)
        why = error if at is None else f"{getattr(error, 'msg', error)}, column {at}"
        said = f"not JSON ({why}); each line must be one JSON object or string, in UTF-8"
        raise BadRowError(said) from None
    if isinstance(data, str):
        return {fields.prompts[0]: data}
    if isinstance(data, dict):
        if line.count(b"[") + line.count(b"{") > DEEPEST:
            _check_depth(data)
        return data
    kind = "null" if data is None else f"a {type(data).__name__}"
    wanted = " or ".join(f'"{name}"' for name in fields.prompts)
    raise BadRowError(f"a row must be an object with {wanted}, or a string, not {kind}")


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


def _context(data: dict[str, object], name: str, fields: Fields) -> RequestContext:
    asked = asked_of(data, fields)
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
    if is_span(value):
        return float(value)
    raise BadRowError(f"the deadline must be {SPAN}, not {reprlib.repr(value)}")
