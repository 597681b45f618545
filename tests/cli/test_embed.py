"""``headrace embed``: texts in, vectors out, in the way of ``headrace run``."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from headrace import SamplingParams
from headrace.cli.main import main, parser
from headrace.testing import vector_of
from headrace.testing.faults import Status

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer
    from headrace.testing.seen import RequestSeen

Run: TypeAlias = Callable[..., int]
Row: TypeAlias = dict[str, Any]
BATCH = {"custom_id": "c", "method": "POST", "url": "/v1/embeddings"}


def lines(path: Path) -> dict[str, Row]:
    """The lines by id; each stands once."""
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def vectors(path: Path) -> dict[str, list[float] | None]:
    return {name: row["embedding"] for name, row in lines(path).items()}


def code_of(command: Run, *words: object) -> object:
    """The exit code, however it comes."""
    try:
        return command(*words)
    except SystemExit as ended:
        return ended.code


def test_every_form_of_a_row_gets_its_vector_in_one_exchange(
    embed: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        "bare",
        {"input": "an input", "id": "i"},
        {"text": "a text", "id": 7},
        {"prompt": "a prompt", "title": "a column of the user's own"},
        {**BATCH, "body": {"model": "x", "input": "a batch", "encoding_format": "float"}},
    ]
    assert embed(rows) == 0
    asked = {"0": "bare", "i": "an input", "7": "a text", "3": "a prompt", "c": "a batch"}
    assert vectors(out) == {name: vector_of(text) for name, text in asked.items()}
    [seen] = server.received
    assert (seen.model, seen.path) == ("fake", "/v1/embeddings")
    assert seen.json["encoding_format"] == "base64"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("5 of 5 answered in ")
    assert "5 sent, 9 tokens" in said.err
    assert said.err.endswith(f"The answers are in {out}.\n")


def test_a_line_holds_what_is_promised(embed: Run, out: Path) -> None:
    assert embed([{"id": "a", "input": "one two", "tags": {"k": 1}}, "x"], "--price", "1,0") == 0
    row, other = lines(out)["a"], lines(out)["1"]
    columns = ["id", "embedding", "model", "usage", "cost", "source", "attempts", "error"]
    assert list(row) == [*columns, "tags"]
    assert list(other) == columns
    assert row["usage"]["input_tokens"] + other["usage"]["input_tokens"] == 3
    assert row["cost"] + other["cost"] == pytest.approx(3e-6)
    assert (row["model"], row["source"], row["attempts"]) == ("fake", "provider", 1)
    assert (row["error"], row["tags"]) == (None, {"k": 1})


def test_numbers_lose_nothing(embed: Run, out: Path, server: FakeServer) -> None:
    odd = [0.1, -1e-30, 3.4e38, 1 / 3]

    def answer(seen: RequestSeen) -> Status:
        del seen
        data = [{"index": 0, "embedding": odd}]
        return Status(200, json.dumps({"data": data, "model": "m"}).encode())

    server.faults = answer
    assert embed(["a"]) == 0
    assert array("f", vectors(out)["0"] or ()) == array("f", odd)


def test_dimensions_and_types_are_those_of_the_row_or_else_of_the_command(
    embed: Run, out: Path, server: FakeServer
) -> None:
    rows = [
        "a",
        {"input": "b", "dimensions": 2},
        {"input": "c", "input_type": "query"},
        {**BATCH, "body": {"input": "d", "dimensions": 3, "user": "u"}},
        {**BATCH, "custom_id": "e", "body": {"input": "e", "dimensions": 3, "user": "u"}},
    ]
    assert embed(rows, "--dimensions", "6", "--input-type", "document") == 0
    found = vectors(out)
    assert found["0"] == vector_of("a", 6)
    assert found["1"] == vector_of("b", 2)
    assert found["2"] == vector_of("c", 6)
    assert (found["c"], found["e"]) == (vector_of("d", 3), vector_of("e", 3))
    bodies = {seen.prompt: seen.json for seen in server.received}
    assert set(bodies) == {"a", "b", "c", "d\ne"}
    assert bodies["d\ne"]["user"] == "u"
    assert "input_type 'query' is left out" in lines(out)["2"]["adaptations"][0]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (b"nope", "not JSON"),
        (b'""', "a text to embed is empty"),
        (b'{"input": ["a", "b"]}', '"input" is a list; give each text a row of its own'),
        (b'{"text": 5}', "a text to embed must be a string, not int"),
        (b"{}", 'the row has neither "input" nor "text" nor "prompt"'),
        (b'{"input": "a", "text": "b"}', 'the row has both "input" and "text"; leave "input" out'),
        (b"[]", 'must be an object with "input" or "text" or "prompt", or a string'),
        (b'{"inptu": "a"}', 'looks like a misspelt "input"'),
        (b'{"input": "a", "dimension": 3}', 'looks like a misspelt "dimensions"'),
        (b'{"input": "a", "dimensions": "3"}', "dimensions must be a whole number above zero"),
        (b'{"input": "a", "input_type": "passage"}', "input_type must be one of query"),
        (b'{"messages": []}', "messages is no field of a row; give conversations to headrace run"),
        (b'{"input": "a", "extra_body": {}}', 'is a sampling parameter; put it into "params"'),
        (b'{"input": "a", "params": {"temperature": 0}}', "temperature means nothing for vectors"),
        (b'{"input": "a", "model": "nowhere/x"}', "the endpoint 'nowhere'"),
        (b'{"body": {"input": "a"}, "dimensions": 3}', 'in its body; leave "dimensions" out'),
        (b'{"body": {"messages": []}}', 'must be an object with "input"'),
        (
            b'{"url": "/v1/chat/completions", "body": {"messages": []}}',
            "'/v1/chat/completions' is not /v1/embeddings; give this row to headrace run",
        ),
        (b'{"url": "/v1/images", "body": {}}', "headrace has no command for it"),
        (b'{"input": "\\ud800"}', "Unicode"),
        (b'{"id": "0", "input": "a"}', "is that of an earlier row"),
    ],
)
def test_a_bad_row_names_its_line_and_the_rest_goes_on(
    embed: Run, source: Path, out: Path, row: bytes, says: str
) -> None:
    source.write_bytes(b'\n"good"\n\n' + row + b'\n"good, too"\n')
    assert embed(None, "--ordered") == 1
    good, bad, after = lines(out).values()
    assert (good["error"], after["error"]) == (None, None)
    assert (bad["error"]["code"], bad["embedding"]) == ("bad_row", None)
    assert bad["error"]["message"].startswith("line 4: ")
    assert says in bad["error"]["message"]


def test_run_names_embed_for_rows_of_embeddings(
    server: FakeServer, source: Path, out: Path
) -> None:
    source.write_text(json.dumps({**BATCH, "body": {"input": "a"}}))
    place = ["--base-url", server.base_url]
    assert main(["run", str(source), "-m", "openai/m", "-o", str(out), *place]) == 1
    assert lines(out)["c"]["error"]["message"] == (
        "line 1: the url '/v1/embeddings' is not /v1/chat/completions;"
        " give this row to headrace embed"
    )


def test_one_text_that_is_refused_is_one_failed_row(
    embed: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults = lambda seen: Status(400) if "bad" in seen.prompt else None
    assert embed([f"t{n}" for n in range(20)] + ["bad"], "--ordered") == 1
    rows = lines(out)
    assert [name for name, row in rows.items() if row["error"]] == ["20"]
    assert rows["20"]["error"]["code"] == "rejected"
    assert "First failure: row 20: " in capsys.readouterr().err
    server.faults = None
    assert embed() == 0
    assert vectors(out)["20"] == vector_of("bad")


def test_a_second_run_sends_and_changes_nothing(
    embed: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed([f"t{n}" for n in range(300)]) == 0
    before = out.read_bytes(), out.stat().st_ino
    sent = len(server.received)
    assert embed(None, "--ordered") == 0
    assert (out.read_bytes(), out.stat().st_ino) == before
    assert len(server.received) == sent
    assert "300 from the journal" in capsys.readouterr().err


def test_other_dimensions_are_another_request_and_come_back_from_the_journal(
    embed: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(["a", "b"]) == 0
    assert embed(None, "--dimensions", "6") == 0
    assert vectors(out) == {"0": vector_of("a", 6), "1": vector_of("b", 6)}
    assert f"2 replaced in {out}" in capsys.readouterr().err
    assert embed() == 0
    assert vectors(out) == {"0": vector_of("a"), "1": vector_of("b")}
    assert len(server.received) == 2


def test_a_run_that_was_stopped_goes_on(
    embed: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"t{n}" for n in range(5000)]
    server.faults = lambda seen: Status(401) if seen.n else None
    assert embed(rows, "--max-concurrent-requests", "1") == 3
    first = out.read_bytes().count(b"\n")  # as many as had come when the first pack went out
    assert 0 < first <= 2048
    assert f"{first:,} of 5,000 answered" in capsys.readouterr().err
    server.faults = None
    assert embed(None, "--ordered") == 0
    assert vectors(out) == {str(n): vector_of(text) for n, text in enumerate(rows)}
    asked = "\n".join(seen.prompt for seen in server.received if seen.n != 1).split("\n")
    assert sorted(asked) == sorted(rows)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--dimensions", "0"], "--dimensions must be a whole number above zero, not 0"),
        (["--input-type", "passage"], "--input-type must be one of query, document"),
        (["--max-tokens", "5"], "there is nothing to do with --max-tokens"),
        (["--tools", "f"], "there is nothing to do with --tools"),
        (["--dimension", "5"], "(did you mean --dimensions?)"),
    ],
)
def test_bad_usage_is_one_sentence_and_touches_no_file(
    embed: Run,
    out: Path,
    flags: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert embed(["a"]) == 0
    before = out.read_bytes()
    capsys.readouterr()
    assert code_of(embed, None, "--fresh", *flags) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert says in said
    assert out.read_bytes() == before


def test_an_endpoint_without_vectors_is_told_before_a_file_is_touched(
    server: FakeServer,
    source: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PERPLEXITY_API_KEY", "a-key-0123456789")
    source.write_bytes(b'"a"\n')
    place = ["--base-url", server.base_url]
    assert main(["embed", str(source), "-m", "perplexity/m", "-o", str(out), *place]) == 2
    said = capsys.readouterr().err
    assert said.startswith("headrace: the endpoint 'perplexity' does not embed; use one of azure")
    assert not out.exists()


def test_a_row_may_name_its_model(
    embed: Run, out: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPLEXITY_API_KEY", "a-key-0123456789")
    rows = [{"input": "a", "model": "openai/own"}, {"input": "b", "model": "perplexity/x"}, "c"]
    assert embed(rows) == 1
    assert {seen.prompt: seen.model for seen in server.received} == {"a": "own", "c": "fake"}
    error = lines(out)["1"]["error"]
    assert error["code"] == "rejected"
    assert error["message"].startswith("the endpoint 'perplexity' does not embed; choose another")


def test_flags_reach_the_client_and_the_request(
    embed: Run, out: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.api_key = "secret-key"
    monkeypatch.setenv("MY_KEY", "secret-key")
    flags = ["--api-key-env", "MY_KEY", "--extra-body", '{"user":"u"}', "--coalesce"]
    flags += ["--extra-headers", '{"x-team":"t"}', "--max-attempts", "2", "--cache", "memory"]
    assert embed(["a", "a", {"input": "b", "params": {"extra_body": {"own": 1}}}], *flags) == 0
    bodies = {seen.prompt: seen for seen in server.received}
    assert set(bodies) == {"a", "b"}
    assert bodies["a"].json["user"] == bodies["b"].json["user"] == "u"
    assert bodies["b"].json["own"] == 1
    assert bodies["a"].headers["x-team"] == "t"
    assert {row["source"] for row in lines(out).values()} == {"provider", "coalesced"}


def test_every_flag_of_the_client_is_there() -> None:
    flags: dict[str, set[str]] = {}
    for command in ("run", "embed"):
        given = parser().parse_args([command, "in", "-m", "m", "-o", "out"])
        flags[command] = set(vars(given))
    vectors = {"extra_body", "extra_headers", "on_unsupported"}
    sampling = set(SamplingParams.model_fields) - {"seed"} | {"sampling_seed"}
    of_run_alone = (sampling - vectors) | {"tools", "output_schema"}
    assert flags["run"] - of_run_alone == flags["embed"] - {"dimensions", "input_type"}


def test_from_a_pipe_to_a_pipe(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    reads, writes = os.pipe()
    os.write(writes, b'"b"\n{"input": "c", "id": "x"}')
    os.close(writes)
    command = ["embed", "-", "-m", "google/any", "-o", "-", "--base-url", server.base_url]
    monkeypatch.setenv("GEMINI_API_KEY", "a-key-0123456789")
    monkeypatch.setenv("KEY", "a-key-0123456789")
    with os.fdopen(reads, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert main([*command, "--quiet", "--api-key-env", "KEY"]) == 0
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert {row["id"]: row["embedding"] for row in rows} == {
        "0": vector_of("b"),
        "x": vector_of("c"),
    }


def test_a_packed_input_names_the_command(
    embed: Run, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_bytes(gzip.compress(b'"a"\n'))
    assert embed() == 2
    assert f"gunzip -c {source} | headrace embed - ..." in capsys.readouterr().err
