"""The command's manners: help, versions, exit codes, and one sentence for whatever is wrong."""

from __future__ import annotations

import errno
import io
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

import headrace
from headrace.adapters.disk import LocalDisk
from headrace.cli import say
from headrace.cli.main import main
from headrace.testing.faults import Status

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer

Run: TypeAlias = Callable[..., int]


def refused(*command: str) -> int:
    """The exit code of a command that argparse refuses."""
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr: a single line, and no traceback."""
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    return said


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused("--version") == 0
    assert capsys.readouterr().out == f"headrace {headrace.__version__}\n"
    assert refused("run", "--help") == 0
    assert "--max-requests-per-minute" in capsys.readouterr().out


def test_the_package_is_the_command() -> None:
    for module in ("headrace", "headrace.cli.main"):
        said = subprocess.run(
            [sys.executable, "-m", module, "--version"], capture_output=True, check=True, timeout=50
        )
        assert said.stdout.decode() == f"headrace {headrace.__version__}\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([], "required"),
        (["walk"], "there is no command walk; headrace --help lists"),
        (["rn", "in"], "there is no command rn (did you mean run?); headrace --help lists"),
        (["run", "in"], "-m/--model, -o/--output"),
        (["run", "in", "-m", "x/y", "-o", "out", "--max-attempts", "many"], "many"),
        (["run", "in", "-m", "x/y", "-o", "out", "--max-att", "3"], "did you mean --max-attempts?"),
        (["run", "in", "-m", "x/y", "-o", "out", "--temp=3"], "did you mean --temperature?"),
        (["run", "in", "-m", "x/y", "-o", "out", "--qqq"], "headrace run: there is nothing to do"),
        (["run", "in", "more", "-m", "x/y", "-o", "out"], "nothing to do with more; headrace run"),
        (["demo", "--row", "3"], "headrace demo: there is nothing to do with --row (did you mean"),
        (["run", "in", "-m", "x/y", "-o", "out", "--model-weights", "a,b"], "3,1"),
        (["run", "in", "-m", "x/y", "-o", "out", "--extra-body", "[1]"], "JSON object"),
        (["run", "in", "-m", "x/y", "-o", "out", "--breaker", "5"], 'such as {"failures": 3'),
        (["run", "in", "-m", "x/y", "-o", "out", "--hedge", "yes"], 'such as {"share": 0.05}'),
        (
            ["run", "in", "-m", "x/y", "-o", "out", "--patience", "1,000"],
            "such as 600, not '1,000'",
        ),
        (["run", "in", "-m", "x/y", "-o", "out", "--seed", "1.5"], "a whole number, such as 5"),
        (["run", "in", "-m", "x/y", "-o", "out", "--rpm", "5"], "mean --max-requests-per-minute?"),
        (["run", "in", "-m", "x/y", "-o", "out", "--price", "1"], "two prices in USD per million"),
        (["run", "in", "-m", "x/y", "-o", "out", "--price", "1,a"], "two prices in USD"),
        (["run", "in", "-m", "x/y", "-o", "out", "--price", "1,-2"], "such as 0.40,1.60"),
        (["run", "in", "-m", "x/y", "-o", "out", "--price", "1,nan"], "such as 0.40,1.60"),
        (["run", "in", "-m", "x/y", "-o", "out", "--extra-body", "{"], "JSON object"),
        (["run", "in", "-m", "x/y", "-o", "out", "--extra-body", '{"a": NaN}'], "JSON object"),
        (["run", "in", "-m", "x/y", "-o", "out", "\x1b[2J"], "\\x1b[2J"),
    ],
)
def test_bad_usage_is_one_sentence(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(*command) == 2
    assert said in one_sentence(capsys)


def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for flags in (["--api-key", "sk-123"], ["--api-key=sk-123"]):
        assert refused("run", "in", "-m", "openai/x", "-o", "out", *flags) == 2
        said = one_sentence(capsys)
        assert "--api-key-env NAME" in said
        assert "sk-123" not in said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-m", "nonsense"], "endpoint/model"),
        (["-m", "openai/fake"], "use --model-weights to prefer one"),
        (["-m", "anthropic/m"], "--base-url and --api-key-env belong to one endpoint"),
        (["--max-requests-per-minute", "-1"], "headrace: --max-requests-per-minute: "),
        (["--max-tokens-per-minute", "nan"], "headrace: --max-tokens-per-minute: "),
        (["--deadline", "nan"], "headrace: --deadline: "),
        (["--seed", "1", "--patience", "-1"], "headrace: --patience: "),
        (["--breaker", '{"failures": 0}'], "headrace: --breaker.failures: it must be 1 or more"),
        (["--spill"], "headrace: --spill needs --model-weights for two models"),
        (["--shared-limits", "localhost:6379"], "headrace: --shared-limits must be None, the URL"),
        (["--shared-limits", "no/such/limits.db"], "there is no folder"),
        (["--hedge", "2"], "headrace: --hedge.share: it must be 1 or less"),
        (["--hedge", '{"quantile": 2}'], "headrace: --hedge.quantile: it must be 0.99 or less"),
        (["--model-weights", "1,2"], "headrace: --model-weights has 2 numbers"),
        (["--model-weights", "1,2"], "--model-weights has 2 numbers for 1 model; give one"),
        (["--model-weights", "1,-2"], "headrace: --model-weights: number 2: it must be 0 or more"),
        (["--model-weights", "0"], "one of --model-weights must"),
        (["--temperature", "-1"], "headrace: --temperature: "),
        (["--sampling-seed", "1", "--top-p", "2"], "headrace: --top-p: "),
        (["--reasoning-effort", "heroic"], "headrace: --reasoning-effort: "),
        (["--extra-body", '{"model": 1}'], "headrace: --extra-body: it cannot replace model"),
        (["--api-key-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
        (["--base-url", "http://example.com/v1"], "https"),
        (["--base-url", "localhost:8080"], "headrace: --base-url 'localhost:8080' must look like"),
        (["--proxy", "http://user:secret@"], "headrace: --proxy must look like"),
        (["--ca-file", "nowhere.pem"], "headrace: --ca-file 'nowhere.pem' cannot be used"),
        (["--cache", "/"], "directory"),
    ],
)
def test_bad_settings_stop_before_anything_is_made(
    run: Run, out: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["a"], *flags) == 2
    assert said in one_sentence(capsys)
    assert not out.exists()


def test_a_missing_key_names_its_variable(
    source: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_bytes(b'"a"\n')
    assert main(["run", str(source), "-m", "openai/gpt-x", "-o", str(out)]) == 2
    assert "OPENAI_API_KEY" in one_sentence(capsys)


def test_files_that_cannot_be_used_stop_before_the_first_request(
    run: Run, source: Path, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 2
    assert "cannot read the input" in one_sentence(capsys)
    assert run(["a"], "-o", str(source.parent)) == 2
    assert "cannot write the output" in one_sentence(capsys)
    assert run(["a"], "-o", str(source / "below")) == 2
    assert one_sentence(capsys).endswith(
        "below: Not a directory; a part of the path is a file: give another path\n"
    )
    for nameless in ("/", ".", ""):
        assert run(["a"], "-o", nameless) == 2
        assert "it is a directory; give the path of a file\n" in one_sentence(capsys)
    assert run(["a"], "-o", "x" * 300) == 2
    assert one_sentence(capsys).endswith("File name too long; give a shorter path\n")
    assert run(["a"], "-o", str(source)) == 2
    assert "is the input and the output" in one_sentence(capsys)
    out.symlink_to(source)
    assert run(["a"], "-o", str(out)) == 2
    out.unlink()
    link = out.with_name("link.jsonl")
    link.symlink_to(out)
    assert run(["a"], "-o", str(link)) == 2
    assert "symbolic link" in capsys.readouterr().err
    assert source.read_bytes() == b'"a"\n'
    assert server.counts.total() == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.journal"])
def test_a_cache_may_not_lie_where_the_answers_do(
    run: Run, out: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["a"], "--cache", str(out.parent / "." / name)) == 2
    assert "is the output or its journal; give it another path\n" in one_sentence(capsys)
    assert not out.exists()


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_a_standard_stream_that_is_closed_is_told(
    source: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_bytes(b'"a"\n')
    given = "-" if name == "stdin" else str(source)
    monkeypatch.setattr(sys, name, None)
    place = ["--base-url", "http://127.0.0.1:9/v1"]
    assert main(["run", given, "-m", "openai/fake", "-o", "-", *place]) == 2
    assert " is closed; give " in one_sentence(capsys)


def test_an_output_that_cannot_be_put_in_order_is_told(
    run: Run, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: LocalDisk, src: Path, dst: Path) -> None:
        raise OSError(errno.ENOSPC, f"{src} is not {dst}")

    assert run(["a", "b"]) == 0
    before = out.read_bytes()
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(LocalDisk, "rename", refuse)
        assert run(["b"], "--quiet") == 3
    said = capsys.readouterr().err
    assert "unforeseen" not in said
    assert "free some space\nStopped. What is answered is kept; run the same command again" in said
    assert out.read_bytes().startswith(before)
    assert run(["b"]) == 0
    assert out.read_bytes().count(b"\n") == 1


def test_a_cache_in_trouble_is_told(
    run: Run, out: Path, capsys: pytest.CaptureFixture[str], server: FakeServer
) -> None:
    cache = out.with_name("cache.db")
    assert run(["a"], "--cache", str(cache)) == 0
    cache.write_bytes(cache.read_bytes()[:100] + bytes(5000))
    capsys.readouterr()
    assert run(["b"], "-o", f"{out}2", "--cache", str(cache)) == 0
    said = capsys.readouterr().err
    assert "headrace: the cache" in said
    assert "is corrupt; move it away and a new one is begun" in said
    assert "Traceback" not in said
    assert server.counts["b"] == 1


def test_a_journal_that_cannot_be_used_asks_nothing(
    run: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    out.with_name("out.jsonl.journal").write_bytes(b"no journal\n")
    assert run(["a"]) == 2
    said = capsys.readouterr().err
    assert "no headrace journal" in said
    assert said.endswith("\nNothing was asked.\n")
    assert "answered" not in said
    assert server.counts.total() == 0


def test_what_is_no_file_and_cannot_be_opened_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A socket's path must be short.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind("socket")
        assert run(["a"], "-o", "socket") == 2
    assert "cannot write the output socket" in one_sentence(capsys)


def test_a_server_that_is_not_there_stops_the_run(
    source: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_bytes(b'"a"\n"b"\n')
    place = ["--base-url", "http://127.0.0.1:9/v1"]
    assert main(["run", str(source), "-m", "openai/x", "-o", str(out), *place]) == 3
    said = capsys.readouterr().err
    assert "check --base-url" in said
    assert said.startswith("The run ended early: 0 of 2 answered in ")
    assert "The answers are in" not in said
    assert said.endswith("\nStopped. Run the same command again to go on.\n")
    assert out.read_bytes() == b""


def test_a_route_that_closes_leaves_the_rest_for_later(
    run: Run, out: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults = lambda seen: Status(401) if seen.n >= 5 else None
    assert run([f"p{n}" for n in range(50)], "--max-concurrent-requests", "1") == 3
    assert out.read_bytes().count(b"\n") == 5
    assert b'"error":{' not in out.read_bytes()
    assert "5 of 50 answered" in capsys.readouterr().err
    server.faults = None
    assert run() == 0
    assert out.read_bytes().count(b"\n") == 50
    assert server.answered.total() == 50


def test_a_full_device_stops_the_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["a", "b"], "-o", "/dev/full") == 3
    said = capsys.readouterr().err
    assert "cannot be used any more (No space left on device); free some space\n" in said
    assert "have to be asked again" in said


def test_what_is_unforeseen_is_one_sentence_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stumble(*_: object) -> bytes:
        raise ZeroDivisionError("by \x1b zero")

    monkeypatch.setattr("headrace.cli.output.line_of", stumble)
    assert run(["a"]) == 3
    said = capsys.readouterr().err
    assert "ZeroDivisionError: by \\x1b zero (unforeseen; set HEADRACE_DEBUG=1" in said
    assert "Traceback" not in said
    monkeypatch.setenv("HEADRACE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run(["a"])


def test_an_interrupt_before_the_run_is_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headrace.cli.rows.Input.count", interrupt)
    assert run(["a"]) == 130
    assert one_sentence(capsys) == "Interrupted.\n"


def test_lines_for_people_cannot_be_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    say.line("a\nb\x1b\u202eß", stream)
    stream.seek(0)
    assert stream.read() == "a\\nb\\x1b\\u202e\\xdf\n"
    stream.close()
    say.line("to nobody", stream)
    say.line("to a stream of no encoding", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    say.line("to nobody")
