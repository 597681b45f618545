"""``headrace run`` from end to end: files in, files out, and what a second run makes of them."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from headrace.adapters.disk import LocalDisk
from headrace.cli.main import main
from headrace.cli.output import FileOutput
from headrace.testing.faults import Status
from headrace.testing.plans import per_prompt

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer

Run: TypeAlias = Callable[..., int]
Row: TypeAlias = dict[str, Any]


def lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def answers(path: Path) -> dict[str, str | None]:
    """The completion of each id; each stands once."""
    rows = lines(path)
    found = {row["id"]: row["completion"] for row in rows}
    assert len(found) == len(rows)
    return found


def prompts(count: int) -> list[str]:
    return [f"p{n}" for n in range(count)]


def test_every_row_is_answered(run: Run, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(prompts(20)) == 0
    assert answers(out) == {str(n): f"echo: p{n}" for n in range(20)}
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("20 of 20 answered in ")
    assert said.err.endswith(f"The answers are in {out}.\n")


def test_a_line_holds_what_is_promised(run: Run, out: Path) -> None:
    assert run([{"id": "a", "prompt": "one two", "tags": {"k": [1]}}]) == 0
    [row] = lines(out)
    assert list(row) == [
        *("id", "completion", "model", "usage", "cost", "finish_reason"),
        *("source", "attempts", "error", "tags"),
    ]
    assert row["usage"]["total_tokens"] == 5
    assert (row["source"], row["attempts"], row["error"]) == ("provider", 1, None)
    assert (row["cost"], row["finish_reason"], row["tags"]) == (None, "stop", {"k": [1]})


def test_files_are_for_their_owner_alone(run: Run, out: Path) -> None:
    assert run(["p"]) == 0
    for path in (out, out.with_name("out.jsonl.journal")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_bad_rows_are_errors_and_the_rest_goes_on(run: Run, source: Path, out: Path) -> None:
    source.write_bytes(b'"a"\n\nnope\n{"id":"x","prompt":"b"}\n{"id":"x","prompt":"c"}\n""\n')
    assert run() == 1
    rows = {row["id"]: row for row in lines(out)}
    assert set(rows) == {"0", "1", "x", "x#3", "4"}
    assert {i: row["completion"] for i, row in rows.items() if row["error"] is None} == {
        "0": "echo: a",
        "x": "echo: b",
    }
    bad = {i: row["error"] for i, row in rows.items() if row["error"] is not None}
    assert {error["code"] for error in bad.values()} == {"bad_row"}
    assert {i: error["message"].partition(":")[0] for i, error in bad.items()} == {
        "1": "line 3",
        "x#3": "line 5",
        "4": "line 6",
    }
    assert {rows[i]["source"] for i in bad} == {"none"}


def test_ordered_keeps_failed_rows_in_their_place(run: Run, out: Path) -> None:
    assert run(["a", {}, "b", "", "c"], "--ordered") == 1
    assert [row["id"] for row in lines(out)] == ["0", "1", "2", "3", "4"]
    before = out.read_bytes()
    assert run(None, "--ordered") == 1
    assert out.read_bytes() == before


def test_a_second_run_sends_and_changes_nothing(
    run: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(prompts(10)) == 0
    before = out.read_bytes(), out.stat().st_ino
    assert run() == 0
    assert (out.read_bytes(), out.stat().st_ino) == before
    assert server.counts.total() == 10
    assert "10 from the journal" in capsys.readouterr().err


def test_an_ordered_second_run_puts_the_first_in_order(
    run: Run, out: Path, server: FakeServer
) -> None:
    server.latency = lambda seen: 0.05 if seen.prompt == "p0" else 0.0
    assert run(prompts(10)) == 0
    assert lines(out)[0]["id"] != "0"
    assert run(None, "--ordered") == 0
    assert [row["id"] for row in lines(out)] == [str(n) for n in range(10)]
    assert server.counts.total() == 10


def test_content_decides_what_is_asked_again(run: Run, out: Path, server: FakeServer) -> None:
    rows = [{"id": n, "prompt": f"prompt {n}"} for n in "abcd"]
    assert run(rows) == 0
    # b is gone, c has changed, e is new, and d stands first.
    assert run([rows[3], rows[0], {"id": "c", "prompt": "new"}, {"id": "e", "prompt": "e"}]) == 0
    assert answers(out) == {
        "d": "echo: prompt d",
        "a": "echo: prompt a",
        "c": "echo: new",
        "e": "echo: e",
    }
    assert server.counts.total() == 6


def test_rows_without_ids_may_change_places(run: Run, out: Path, server: FakeServer) -> None:
    assert run(["a", "b", "c"]) == 0
    assert run(["x", "c", "b"]) == 0
    assert answers(out) == {"0": "echo: x", "1": "echo: c", "2": "echo: b"}
    assert server.counts.total() == 4


def test_the_same_prompt_under_two_ids_is_two_requests(
    run: Run, out: Path, server: FakeServer
) -> None:
    assert run(["same", "same"]) == 0
    assert run(["same", "same", "same"]) == 0
    assert len(answers(out)) == 3
    assert server.counts["same"] == 3


def test_new_tags_need_no_new_request(run: Run, out: Path, server: FakeServer) -> None:
    assert run([{"id": "a", "prompt": "p", "tags": {"n": 1}}]) == 0
    assert run([{"id": "a", "prompt": "p", "tags": {"n": 2}}]) == 0
    [row] = lines(out)
    assert (row["tags"], row["source"]) == ({"n": 2}, "journal")
    assert server.counts.total() == 1


def test_failed_rows_are_written_last_and_tried_again(
    run: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults = per_prompt({"p0": [Status(400)], "p5": [Status(400), Status(400)]})
    assert run(prompts(8)) == 1
    assert [row["id"] for row in lines(out) if row["error"] is not None] == ["0", "5"]
    assert [row["error"]["code"] for row in lines(out)[-2:]] == ["rejected", "rejected"]
    assert run() == 1
    assert answers(out)["0"] == "echo: p0"
    assert [row["id"] for row in lines(out) if row["error"] is not None] == ["5"]
    assert run() == 0
    assert answers(out) == {str(n): f"echo: p{n}" for n in range(8)}
    assert (server.counts["p5"], server.counts["p1"], server.counts["p0"]) == (3, 1, 2)
    assert "1 failed (1 rejected)" in capsys.readouterr().err


def test_many_failures_pass_through_a_file(
    run: Run, out: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.cli.output.IN_MEMORY", 300)
    server.faults = lambda _: Status(400)
    assert run(prompts(20)) == 1
    assert len({row["id"] for row in lines(out)}) == 20
    server.faults = None
    assert run(None, "--ordered") == 0
    assert list(answers(out)) == [str(n) for n in range(20)]
    assert sorted(p.name for p in out.parent.iterdir()) == [
        *("in.jsonl", "out.jsonl", "out.jsonl.journal")
    ]


@pytest.mark.parametrize("lost", ["line", "part", "all", "file"])
def test_what_the_output_lost_comes_back_from_the_journal(
    run: Run, out: Path, server: FakeServer, lost: str
) -> None:
    assert run(prompts(5)) == 0
    whole = out.read_bytes()
    kept = {"line": whole[: whole[:-1].rindex(b"\n") + 1], "part": whole[:-30], "all": b""}
    if lost == "file":
        out.unlink()
    else:
        out.write_bytes(kept[lost])
    assert run() == 0
    assert answers(out) == {str(n): f"echo: p{n}" for n in range(5)}
    assert server.counts.total() == 5


def test_what_is_none_of_ours_leaves_the_output(run: Run, out: Path) -> None:
    assert run(prompts(2)) == 0
    good = out.read_bytes()
    out.write_bytes(b"\0\0\n[1]\n" + good + b'{"id":3}\n' + good)
    assert run() == 0
    assert answers(out) == {"0": "echo: p0", "1": "echo: p1"}


def test_a_changed_line_is_written_anew(run: Run, out: Path) -> None:
    assert run(["p", "q"]) == 0
    out.write_bytes(out.read_bytes().replace(b"echo: p", b"edited by hand, at some length" * 20))
    assert run() == 0
    assert answers(out)["0"] == "echo: p"


def test_fresh_starts_over(run: Run, out: Path, server: FakeServer) -> None:
    assert run(["a", "b"]) == 0
    assert run(["a"], "--fresh") == 0
    assert answers(out) == {"0": "echo: a"}
    assert server.counts["a"] == 2
    out.unlink()
    assert run(["a"], "--fresh") == 0
    out.with_name("out.jsonl.journal").unlink()
    assert run(["a"], "--fresh") == 0
    assert server.counts["a"] == 4


def test_an_output_without_a_journal_is_not_touched(
    run: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    out.write_bytes(b"precious\n")
    assert run(["a"]) == 2
    assert out.read_bytes() == b"precious\n"
    assert server.counts.total() == 0
    assert "--fresh" in capsys.readouterr().err
    out.write_bytes(b"")
    assert run(["a"]) == 0


def test_two_runs_on_one_output_are_refused(
    run: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first = FileOutput(out, LocalDisk(), ordered=False, fresh=False)
    for flags in ((), ("--fresh",)):
        assert run(["a"], *flags) == 2
        assert "another writer has it open" in capsys.readouterr().err
    first.close()
    assert run(["a"]) == 0
    assert server.counts.total() == 1


def test_a_journal_that_python_writes_is_not_removed(run: Run, out: Path) -> None:
    disk, journal = LocalDisk(), out.with_name("out.jsonl.journal")
    other = disk.open_append(journal)
    disk.lock(other)
    assert run(["a"]) == 2
    assert run(["a"], "--fresh") == 2
    assert journal.exists()
    other.close()


def test_leftovers_of_a_kill_are_removed(run: Run, out: Path) -> None:
    left = out.with_name(".out.jsonl.0123abcd.tmp")
    other = out.with_name(".out.jsonl.mine.tmp")
    left.touch()
    other.touch()
    assert run(["a"]) == 0
    assert (left.exists(), other.exists()) == (False, True)


def test_standard_output_gets_the_rows_alone(
    run: Run, source: Path, server: FakeServer, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    source.write_bytes(b'"a"\nnope\n"b"\n')
    assert run(None, "-o", "-", "--ordered") == 1
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [(row["id"], row["completion"]) for row in rows] == [
        ("0", "echo: a"),
        ("1", None),
        ("2", "echo: b"),
    ]
    assert run(None, "-o", os.devnull) == 1
    assert server.counts["a"] == 2
    assert [path.name for path in source.parent.iterdir()] == ["in.jsonl"]


def test_standard_input_may_be_a_file_or_a_pipe(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer
) -> None:
    source.write_bytes(b'"a"\n"b"\n')
    command = ["run", "-", "-m", "openai/fake", "--base-url", server.base_url, "-o", str(out)]
    with source.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert main(command) == 0
    reads, writes = os.pipe()
    os.write(writes, b'"b"\n"c"')
    os.close(writes)
    with os.fdopen(reads, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert main(command) == 0
    assert answers(out) == {"0": "echo: b", "1": "echo: c"}
    assert server.counts.total() == 3


def test_flags_reach_the_client_and_the_request(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.api_key = "secret-key"
    monkeypatch.setenv("MY_KEY", "secret-key")
    flags = ["--api-key-env", "MY_KEY", "--max-tokens", "7", "--temperature", "0", "--top-p", "1"]
    flags += ["--stop", "X", "--stop", "Y", "--sampling-seed", "5", "--extra-body", '{"n_probs":2}']
    flags += ["--max-attempts", "2", "--max-concurrent-requests", "1", "--cache", "memory"]
    flags += ["--max-requests-per-minute", "6000", "--request-timeout", "9", "--coalesce"]
    assert run(["a", "a", {"prompt": "b", "params": {"temperature": 1}}], *flags) == 0
    bodies = {seen.prompt: seen.json for seen in server.received}
    assert bodies["a"]["stop"] == ["X", "Y"]
    assert (bodies["a"]["temperature"], bodies["b"]["temperature"]) == (0, 1)
    assert (bodies["a"]["seed"], bodies["a"]["n_probs"]) == (5, 2)
    assert server.counts["a"] == 1


def test_several_models_may_be_weighted(run: Run, server: FakeServer) -> None:
    assert run(prompts(8), "-m", "openai/other", "--model-weights", "0,1", "--seed", "3") == 0
    assert {seen.model for seen in server.received} == {"other"}


def test_a_row_may_name_its_model(run: Run, server: FakeServer, out: Path) -> None:
    rows = [{"prompt": "a", "model": "openai/own"}, {"prompt": "b", "model": "nowhere/x"}]
    assert run(rows) == 1
    assert [seen.model for seen in server.received] == ["own"]
    bad = lines(out)[-1]
    assert (bad["error"]["code"], bad["source"], bad["attempts"]) == ("bad_row", "none", 0)
    assert bad["error"]["message"].startswith("line 2: the endpoint 'nowhere'")


@pytest.mark.parametrize(
    "row",
    [
        b"nope",
        b'""',
        b'{"messages": [{"role": "robot", "content": "x"}]}',
        b'"\\ud800"',
        b'{"prompt": "p", "params": {"extra_body": {"x": "\\ud800"}}}',
        b'{"prompt": "p", "model": "nowhere/x"}',
        b'{"prompt": "p", "parms": {}}',
        b'{"id": "0", "prompt": "p"}',
    ],
)
def test_every_bad_row_names_its_line(run: Run, source: Path, out: Path, row: bytes) -> None:
    source.write_bytes(b'\n"good"\n\n\n' + row + b'\n"good, too"\n')
    assert run(None, "--ordered") == 1
    good, bad, after = lines(out)
    assert (good["error"], after["error"]) == (None, None)
    assert bad["error"]["code"] == "bad_row"
    assert bad["error"]["message"].startswith("line 5: ")
    assert bad["error"]["message"].count("line 5: ") == 1


def test_a_quiet_run_says_nothing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["a", {}], "--quiet") == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("nothing", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_run_without_rows_is_done(
    run: Run, source: Path, out: Path, nothing: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_bytes(nothing)
    assert run() == 0
    assert out.read_bytes() == b""
    assert capsys.readouterr().err == f"Nothing was asked: the input {source} holds no rows.\n"
    assert run(None, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_hostile_text_is_data(run: Run, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\r\n\u202e\u2028"
    assert run([{"id": hostile, "prompt": hostile}, {"id": f"{hostile}2", "prompt": 1}]) == 1
    assert set(answers(out)) == {hostile, f"{hostile}2"}
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("rows", [1, 2])
def test_where_nothing_listens_the_run_stops_and_can_be_resumed(
    run: Run, out: Path, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = ["--base-url", "http://127.0.0.1:1/v1", "--max-attempts", "2"]
    assert run([f"p{n}" for n in range(rows)], *nowhere) == 3
    assert out.read_bytes() == b""
    said = capsys.readouterr().err
    assert "refused; check --base-url and that the server runs (it never answered)" in said
    assert run() == 0
    assert len(out.read_bytes().splitlines()) == rows
