"""Inputs that hold no JSON lines: one sentence that says what to do, before anything is made."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import sys
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest

from headrace.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer

Run: TypeAlias = Callable[..., int]
ROWS: Final = '{"prompt": "a"}\n{"prompt": "b"}\n'


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in.jsonl", ROWS)
    return file.getvalue()


OTHERS: Final[dict[str, tuple[bytes, str]]] = {
    "gzip": (gzip.compress(ROWS.encode()), "is packed with gzip; pipe it in: gunzip -c {} [|]"),
    "bzip2": (bz2.compress(ROWS.encode()), "is packed with bzip2; pipe it in: bunzip2 -c {} [|]"),
    "xz": (lzma.compress(ROWS.encode()), "is packed with xz; pipe it in: xz -dc {} [|]"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04", "is packed with zstd; pipe it in: zstd -dc {} [|]"),
    "zip": (zipped(), "is a zip archive or a spreadsheet; write its rows as one JSON value a line"),
    "parquet": (b"PAR1\x15\x04", "is a Parquet file; write its rows as"),
    "utf-16": (ROWS.encode("utf-16"), "is written in UTF-16; make it UTF-8: iconv -f UTF-16 -t"),
    "utf-16-be": (b"\xfe\xff" + ROWS.encode("utf-16-be"), "is written in UTF-16; make it UTF-8"),
    "utf-32": (ROWS.encode("utf-32"), "is written in UTF-32; make it UTF-8: iconv -f UTF-32"),
    "utf-16 without a mark": (ROWS.encode("utf-16-le"), "is no UTF-8 text; give one JSON value"),
    "array": (b'[{"prompt": "a"}, {"prompt": "b"}]', "is one JSON array; .* jq -c '.\\[\\]' {}"),
    "array with a mark": (b"\xef\xbb\xbf" + b'[{"prompt": "a"}]\n', "is one JSON array"),
    "long array": (b'["' + b"a" * 100_000 + b'"]\n"b"\n', "is one JSON array"),
    "printed array": (b'\n[\n  {"prompt": "a"}\n]\n', "is one JSON array"),
    "printed object": (b'{\n  "prompt": "a"\n}\n', "is JSON over several lines; .* jq -c . {}"),
    "csv": (b"id,prompt\n1,hello\n", "looks like CSV; write its rows as one JSON value a line"),
    "quoted csv": (b'"id";"the prompt"\r\n1;"hello"\r\n', "looks like CSV"),
    "tsv": (b"id\tprompt\n1\thello\n", "looks like CSV"),
}


@pytest.mark.parametrize("form", OTHERS)
def test_another_form_is_told_before_anything_is_made(
    run: Run, source: Path, out: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, said = OTHERS[form]
    source.write_bytes(content)
    assert run() == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    path = re.escape(str(source))
    assert re.match(f"headrace: the input {path} {said.format(path)}", told)
    assert not out.exists()


def test_a_byte_order_mark_of_utf_8_is_taken(run: Run, source: Path, server: FakeServer) -> None:
    source.write_bytes(b"\xef\xbb\xbf" + ROWS.encode())
    assert run() == 0
    assert server.counts["a"] == 1


def test_a_list_among_rows_is_one_bad_row(run: Run, source: Path, server: FakeServer) -> None:
    source.write_bytes(b'["a"]\n"b"\n')
    assert run() == 1
    assert server.counts["b"] == 1


def test_a_string_with_a_comma_is_no_table(run: Run, source: Path, server: FakeServer) -> None:
    source.write_bytes(b'"red,green"\n"b"\n')
    assert run() == 0
    assert server.counts["red,green"] == 1


def test_a_directory_is_no_input(
    run: Run, source: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.mkdir()
    assert run() == 2
    assert capsys.readouterr().err.endswith("Is a directory; give the path of a file\n")
    assert not out.exists()


@pytest.mark.parametrize("form", ["gzip", "array", "csv", "utf-16"])
def test_another_form_is_told_of_a_pipe_too(
    server: FakeServer,
    out: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reads, writes = os.pipe()
    os.write(writes, OTHERS[form][0])
    os.close(writes)
    with os.fdopen(reads, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        place = ["--base-url", server.base_url]
        assert main(["run", "-", "-m", "openai/fake", "-o", str(out), *place]) == 2
    told = capsys.readouterr().err
    assert told.startswith("headrace: the standard input ")
    assert told.count("\n") == 1
    assert server.counts.total() == 0
