"""Rows from a user's TOML file, and one sentence for each that is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

import headrace
from headrace import ConfigError, Endpoint, LLMClient
from headrace.cli.main import main
from headrace.testing import FakeServer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once
ROWS: Final = """
[endpoints.acme]
wire = "openai_chat"
base_url = "{ACME_HOST}/v1"
defaults = { ACME_HOST = "http://127.0.0.1:1" }
auth = "none"

[[models]]
id = "acme/big"
price = { input = 1.5, output = "6", cache_read = 0.15 }
requests_per_minute = 600
max_output_tokens = 4096

[[models]]
id = "openai/gpt-x"
key_env = ["OPENAI_API_KEY", "OPENAI_API_KEY_2"]
account = { OPENAI_API_KEY = "ours", OPENAI_API_KEY_2 = "ours" }
limit_group = "gpt"

[aliases]
big = "acme/big"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = tmp_path / "rows.toml"
    rows.write_text(ROWS)
    return rows


def test_a_file_of_rows_is_as_if_they_were_registered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headrace.load_rows(path)
    assert headrace.list_aliases() == {"big": "acme/big"}
    big, two_keys = headrace.list_models()
    assert (big.max_output_tokens, big.requests_per_minute) == (4096, 600)
    assert two_keys.account == {"OPENAI_API_KEY": "ours", "OPENAI_API_KEY_2": "ours"}
    assert two_keys.limit_group == "gpt"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a")
    monkeypatch.setenv("OPENAI_API_KEY_2", "sk-b")
    assert repr(LLMClient(two_keys.id)) == "<LLMClient openai/gpt-x, openai/gpt-x#2>"
    with FakeServer.in_thread() as server:
        monkeypatch.setenv("ACME_HOST", server.anthropic_url)
        with LLMClient("big") as client:
            row = client.ask_sync("hi")
    assert row.usage is not None
    assert row.cost == (row.usage.input_tokens * 1.5 + row.usage.output_tokens * 6) / 1e6
    assert row.route == "acme/big"


def test_clients_pick_up_the_file_that_the_environment_names(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ROWS", str(path))
    assert repr(LLMClient("big")) == "<LLMClient acme/big>"
    headrace.unregister_alias("big")
    monkeypatch.setenv("HEADRACE_ROWS", str(path.parent / "nowhere.toml"))
    with pytest.raises(ConfigError, match=r"nowhere\.toml' cannot be read: No such file"):
        LLMClient("big")


def test_what_is_said_in_code_wins_over_the_file_of_the_environment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ROWS", str(path))
    headrace.register_alias("big", "local/smollm2")
    assert repr(LLMClient("big")) == "<LLMClient local/smollm2>"
    headrace.unregister_model("acme/big")
    assert [model.id for model in headrace.list_models()] == ["openai/gpt-x"]


def test_the_command_line_takes_a_file_of_rows(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('"hi"\n')
    with FakeServer.in_thread() as server:
        monkeypatch.setenv("ACME_HOST", server.anthropic_url)
        flags = ["--rows", str(path), "-m", "big", "-o", str(output), "--quiet"]
        assert main(["run", str(source), *flags]) == 0
        assert '"echo: hi"' in output.read_text()
        assert main(["run", str(source), *flags, "--fresh", "--price", "1000000,0"]) == 0
    line = json.loads(output.read_text())
    assert line["cost"] == line["usage"]["input_tokens"]


def test_a_bad_file_of_rows_ends_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('"hi"\n')
    flags = ["--rows", str(tmp_path / "no.toml"), "-m", "big", "-o", str(tmp_path / "out.jsonl")]
    assert main(["run", str(tmp_path / "in.jsonl"), *flags]) == 2
    assert "no.toml' cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[aliases]\nfast = 'acne/m'\n",
            "of 'acne/m' (the alias 'fast') is not known; did you mean",
        ),
        (
            "[[models]]\nid = 'acne/m'\n",
            "the endpoint 'acne' of 'acne/m' is not known; did you mean",
        ),
    ],
)
def test_the_command_tells_rows_that_lead_nowhere_though_it_asks_others(
    path: Path, text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(ROWS.replace("[aliases]\n", text) if "aliases" in text else ROWS + text)
    (tmp_path / "in.jsonl").write_text('"hi"\n')
    out = tmp_path / "out.jsonl"
    flags = ["--rows", str(path), "-m", "acme/big", "-o", str(out)]
    assert main(["run", str(tmp_path / "in.jsonl"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_the_command_tells_a_wrong_wire_and_not_a_missing_key(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "[endpoints.acme]\nwire = 'openai-chat'\nbase_url = 'https://acme.example/v1'\n"
    path.write_text(wrong)
    (tmp_path / "in.jsonl").write_text('"hi"\n')
    flags = ["--rows", str(path), "-m", "acme/big", "-o", str(tmp_path / "out.jsonl")]
    assert main(["run", str(tmp_path / "in.jsonl"), *flags]) == 2
    said = capsys.readouterr().err
    assert "the endpoint 'acme' writes 'openai-chat', which no provider does; did you mean" in said
    assert "key" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = \n", r"rows\.toml is no TOML: .*line 1"),
        ("[endpoint.a]\n", r"rows\.toml: there is no table 'endpoint'; did you mean endpoints\?"),
        ("models = 5\n", r"rows\.toml: models must be written as \[\[models\]\]"),
        ("models = [5]\n", r"rows\.toml: models: number 1: it must be a table"),
        ("endpoints.a = 5\n", r"rows\.toml: endpoints\.a: it must be a table"),
        ("[endpoints.a]\nwir = 'x'\n", r"rows\.toml: endpoints\.a: Endpoint: w"),
        ("[endpoints.'a/b']\nwire = 'x'\n", r"endpoints\.a/b: .* without a slash"),
        ("[endpoints.a]\nwire = 'openai_chat'\nunsupported = ['top_kk']\n", r"did you mean top_k"),
        ("[endpoints.a]\nwire = 'openai_chat'\nrenames = {sed = 'x'}\n", r"did you mean seed"),
        ("[endpoints.a]\nwire = 'openai_chat'\nreplays = ['tools']\n", r"'tools' in replays"),
        ("[endpoints.a]\nwire = 'cohere'\noperations = {embd = {}}\n", r"did you mean embed"),
        (
            "[endpoints.a]\nwire = 'cohere'\n[endpoints.a.operations.embed.models.x]\nitms = 1\n",
            r"operations\.embed\.models\.x\.itms: there is no such field",
        ),
        (
            "[endpoints.a]\nwire = 'cohere'\n[endpoints.a.operations.embed.models]\nx = 1\n",
            r"operations\.embed\.models\.x: ",
        ),
        (
            "[endpoints.a]\nwire = 'cohere'\noperations.embed.wire = 'coherent'\n",
            r"'coherent' in the wire of its operations.* did you mean cohere\?",
        ),
        ("[[models]]\nid = 'nonsense'\n", r"models: number 1: .*must have the form"),
        ("[[models]]\nid = 'a/b'\nprice = 5\n", r"models: number 1: Model: price: "),
        ("[aliases]\nfast = 5\n", r"rows\.toml: aliases: the alias 'fast' must lead to"),
        ("[aliases]\nfast = 'x'\n", r"rows\.toml: aliases: .*must have the form"),
    ],
)
def test_a_wrong_row_is_one_sentence_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.toml"
    good = "" if text.startswith("endpoints") else "\n[endpoints.good]\nwire = 'openai_chat'\n"
    path.write_text(text + good)
    with pytest.raises(ConfigError, match=said) as caught:
        headrace.load_rows(path)
    assert len(str(caught.value).splitlines()) == 1
    assert "good" not in {row.name for row in headrace.list_endpoints()}


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_what_is_no_text_file_is_said(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "rows.toml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"rows\.toml' cannot be read: "):
        headrace.load_rows(path)


def test_what_is_otherwise_for_some_models_is_filled_up_from_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "rows.toml"
    path.write_text(
        "[endpoints.a]\nwire = 'cohere'\nbase_url = 'https://a.test'\n"
        "[endpoints.a.operations.embed]\nitems = 5\ntokens = 9\n"
        "[endpoints.a.operations.embed.models]\nlarge = {items = 1}\nar = {items = 2}\n"
    )
    headrace.load_rows(path)
    [row] = [row for row in headrace.list_endpoints() if row.name == "a"]
    offer = row.operations["embed"]
    found = {name: (offer.of(name).items, offer.of(name).tokens) for name in ("x-large", "ar", "b")}
    assert found == {"x-large": (1, 9), "ar": (2, 9), "b": (5, 9)}
    assert Endpoint(**row.model_dump()) == row
