"""The output as a projection: which lines stand at the end of a run, whole or not."""

from __future__ import annotations

import errno
import json
import resource
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters.disk import LocalDisk
from headrace.cli.lines import line_of
from headrace.cli.output import FileOutput, journal_of
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.parts import ToolCall
from headrace.core.response import APIResponse, Source, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.adapters.disk import LocalFile


def answer(
    index: int, text: str, *, name: str | None = None, source: Source = "provider"
) -> APIResponse[object]:
    return APIResponse(id=name or str(index), index=index, completion=text, source=source)


def failure(index: int) -> APIResponse[object]:
    return APIResponse(id=str(index), index=index, error=BadRowError("no"))


def opened(path: Path, *, ordered: bool = False) -> FileOutput:
    journal_of(path).touch()
    return FileOutput(path, LocalDisk(), ordered=ordered, fresh=False)


def project(path: Path, *responses: APIResponse[object], complete: bool = True) -> None:
    output = opened(path)
    for response in responses:
        output.write(response)
    output.finish(complete=complete)
    output.close()


def standing(path: Path) -> list[tuple[str, str | None]]:
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [(row["id"], row["completion"]) for row in rows]


def test_a_line_shows_all_that_there_is() -> None:
    response: APIResponse[object] = APIResponse(
        id="a",
        completion="c",
        thinking="t",
        tool_calls=(ToolCall("1", "f", "{}"),),
        parsed={"x": 1},
        tags={"k": "v"},
        usage=Usage(1, 2),
        cost_nanos=1_500,
        finish_reason="tool",
    )
    row = orjson.loads(line_of(response))
    assert row["tool_calls"] == [{"id": "1", "name": "f", "arguments": "{}"}]
    assert (row["thinking"], row["parsed"], row["tags"]) == ("t", {"x": 1}, {"k": "v"})
    assert (row["cost"], row["usage"]["total_tokens"]) == (1.5e-06, 3)


def test_lone_surrogates_are_kept_as_escapes(tmp_path: Path) -> None:
    path = tmp_path / "out"
    project(path, answer(0, "\ud800", name="\udc00"))
    project(path, answer(0, "\ud800", name="\udc00", source="journal"))
    assert path.read_bytes().isascii()
    assert standing(path) == [("\udc00", "\ud800")]


def test_an_early_end_keeps_what_the_run_did_not_come_to(tmp_path: Path) -> None:
    path = tmp_path / "out"
    project(path, answer(0, "a"), answer(1, "b"), failure(2), answer(3, "d"))
    project(path, answer(1, "new"), failure(0), complete=False)
    assert standing(path) == [("3", "d"), ("2", None), ("1", "new"), ("0", None)]
    project(path, answer(1, "new", source="journal"))
    assert standing(path) == [("1", "new")]


def test_an_early_end_of_an_ordered_run_puts_its_own_rows_first(tmp_path: Path) -> None:
    path = tmp_path / "out"
    project(path, answer(0, "a"), answer(1, "b"), answer(5, "f"))
    output = opened(path, ordered=True)
    output.write(answer(1, "new"))
    output.write(answer(2, "c"))
    output.finish(complete=False)
    output.close()
    assert standing(path) == [("1", "new"), ("2", "c"), ("0", "a"), ("5", "f")]


def test_an_output_that_needs_no_order_is_not_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "out"
    project(path, answer(0, "a"), answer(2, "c"))
    before = path.stat().st_ino
    output = opened(path, ordered=True)
    output.write(answer(0, "a", source="journal"))
    output.write(answer(2, "c", source="journal"))
    output.finish(complete=True)
    output.close()
    assert path.stat().st_ino == before


def test_more_than_a_block_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.output.IN_MEMORY", 200)
    path = tmp_path / "out"
    project(path, *(answer(n, "x" * n) for n in range(9)))
    project(path, *(answer(n, "x" * n, source="journal") for n in range(0, 9, 2)))
    assert standing(path) == [(str(n), "x" * n) for n in range(0, 9, 2)]


@given(
    runs=st.lists(
        st.tuples(
            st.lists(
                st.tuples(st.sampled_from("abcdef"), st.sampled_from(["1", "2", ""])),
                unique_by=lambda row: row[0],
            ),
            st.integers(0, 300),
            st.booleans(),
        ),
        max_size=5,
    )
)
def test_however_runs_follow_and_end_the_last_whole_one_stands(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[list[tuple[str, str]], int, bool]],
) -> None:
    path = tmp_path_factory.mktemp("runs") / "out"
    known: set[tuple[str, str]] = set()
    for rows, torn, ordered in runs:
        output = opened(path, ordered=ordered)
        for index, (name, text) in enumerate(rows):
            source: Source = "journal" if (name, text) in known else "provider"
            bad = None if text else BadRowError("no")
            known.add((name, text))
            output.write(
                APIResponse(id=name, index=index, completion=text, source=source, error=bad)
            )
        output.finish(complete=True)
        output.close()
        assert sorted(standing(path)) == sorted(rows)
        if ordered:
            assert standing(path) == rows
        # A kill while the next lines were written.
        whole = path.read_bytes()
        path.write_bytes(whole[: max(0, len(whole) - torn)])


class FullDisk(LocalDisk):
    """Where a new file cannot be made, and an old one cannot be cut."""

    def create(self, path: Path) -> LocalFile:
        """No room."""
        if path.name.startswith("."):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return super().create(path)


def test_an_output_that_cannot_be_written_anew_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out"
    project(path, answer(0, "a"), answer(1, "b"))
    before = path.read_bytes()
    output = FileOutput(path, FullDisk(), ordered=False, fresh=False)
    output.write(answer(0, "a", source="journal"))
    with pytest.raises(OSError, match="No space left"):
        output.finish(complete=True)
    output.close()
    assert path.read_bytes() == before


def test_a_line_that_finds_no_room_leaves_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "out"
    project(path, answer(0, "a"))
    before = path.read_bytes()
    output = opened(path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            output.write(answer(1, "x" * 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before
    output.close()


def test_an_output_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write the output"):
        FileOutput(tmp_path / "file" / "out", LocalDisk(), ordered=False, fresh=False)
