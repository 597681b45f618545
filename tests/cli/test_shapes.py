"""Tools and schemas on the command line: from files and rows to the output's lines."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

import headrace
from headrace import APIResponse, Endpoint, OutputSchema, SamplingParams, Tool, ToolCall, VendorTool
from headrace.cli.lines import line_of
from headrace.cli.main import main
from headrace.cli.rows import Rows
from headrace.core.errors import BadRowError
from headrace.testing import scripted
from tests.clients import NOWHERE
from tests.turns import Rounds, asking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headrace import RequestContext

Run: TypeAlias = Callable[..., int]
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
}
FORM: Final = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
FUNCTION: Final = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
MESSAGES: Final = [{"role": "user", "content": "p"}]


def read(row: object) -> RequestContext:
    """The context of one row."""
    [context] = Rows().read(io.BytesIO(json.dumps(row).encode()))
    return context


def test_a_row_brings_tools_and_a_schema() -> None:
    row = read(
        {"prompt": "p", "tools": [FUNCTION, {"type": "web_search"}], "output_schema": SCHEMA}
    )
    kinds = [type(tool) for tool in row.tools]
    assert kinds == [Tool, VendorTool]
    assert row.tools[0] == Tool.of({"name": "f", "input_schema": SCHEMA})
    assert row.output_schema == OutputSchema.of(SCHEMA)


@pytest.mark.parametrize("row", [{"messages": MESSAGES}, {"prompt": "p"}])
def test_a_row_may_say_it_as_openai_does(row: dict[str, object]) -> None:
    assert read({**row, "response_format": FORM}).output_schema == OutputSchema.of(FORM)
    for none in (None, {"type": "text"}):
        plain = read({**row, "response_format": none, "tools": None})
        assert (plain.output_schema, plain.params, plain.tools) == (None, None, ())
    loose = read({**row, "response_format": {"type": "json_object"}, "params": {"seed": 1}})
    body = {"response_format": {"type": "json_object"}}
    assert (loose.output_schema, loose.params) == (None, SamplingParams(seed=1, extra_body=body))


def test_equal_rows_are_equal_requests() -> None:
    one = read({"prompt": "p", "tools": [FUNCTION], "response_format": FORM})
    two = read({"body": {"messages": MESSAGES, "tools": [FUNCTION], "response_format": FORM}})
    assert one.cache_key == two.cache_key


def test_a_batch_body_is_said_in_our_own_words() -> None:
    body = {
        "model": "gpt-x",
        "messages": MESSAGES,
        "tools": [FUNCTION],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": FORM,
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "logit_bias": {"1": 2},
    }
    row = read({"custom_id": "a", "body": body})
    assert [tool.name for tool in row.tools if isinstance(tool, Tool)] == ["f"]
    assert row.output_schema == OutputSchema.of(FORM)
    assert row.params is not None
    assert row.params.given() == {
        "max_tokens": 9,
        "reasoning_effort": "low",
        "tool_choice": "f",
        "parallel_tool_calls": False,
        "extra_body": {"logit_bias": {"1": 2}},
    }


@pytest.mark.parametrize(
    "choice", ["auto", "required", {"type": "allowed_tools", "allowed_tools": {}}]
)
def test_a_choice_without_a_word_of_ours_goes_through(choice: object) -> None:
    params = read({"body": {"messages": MESSAGES, "tool_choice": choice}}).params
    assert params is not None
    given = (
        {"tool_choice": choice}
        if isinstance(choice, str)
        else {"extra_body": {"tool_choice": choice}}
    )
    assert params.given() == given


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "tools": {}}, "tools must be a list of tools, not dict"),
        ({"prompt": "a", "tools": [{"name": "a b"}]}, "a tool's name must be 1 to 64"),
        ({"prompt": "a", "tools": [FUNCTION, FUNCTION]}, "two tools are called f"),
        ({"prompt": "a", "tool": []}, "'tool' looks like a misspelt \"tools\""),
        ({"prompt": "a", "output_schema": "x"}, "output_schema must be a JSON schema, not 'x'"),
        ({"prompt": "a", "output_schema": {"type": "x"}}, "the JSON schema is none"),
        ({"prompt": "a", "output_schema": {}, "response_format": FORM}, "leave one out"),
        ({"body": {"messages": MESSAGES}, "tools": []}, 'are in its body; leave "tools" out'),
        ({"body": {"messages": MESSAGES, "tools": [3]}}, "a tool is a function, a type, a Tool"),
    ],
)
def test_a_wrong_one_is_that_rows_error(row: object, said: str) -> None:
    with pytest.raises(BadRowError) as caught:
        _ = read(row).conversation
    assert said in str(caught.value)


def test_a_line_holds_what_an_answer_holds() -> None:
    calls = (ToolCall("1", "f", "{}"), ToolCall("2", "", '{"x": 1}', kind="computer_call"))
    said = APIResponse[object](
        tool_calls=calls, thinking="hm", parsed=[1], adaptations=("top_k left out",)
    )
    row = json.loads(line_of(said))
    assert row["tool_calls"] == [
        {"id": "1", "name": "f", "arguments": "{}"},
        {"id": "2", "name": "", "arguments": '{"x": 1}', "kind": "computer_call"},
    ]
    assert (row["thinking"], row["parsed"]) == ("hm", [1])
    assert row["adaptations"] == ["top_k left out"]


def test_a_file_says_the_shape_of_all_answers(run: Run, tmp_path: Path, out: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    rows: list[object] = [
        '{"a": 1}',
        '{"a": "x"}',
        {"prompt": "[2]", "output_schema": {"type": "array"}},
    ]
    assert run(rows, "--output-schema", str(file), "--max-attempts", "1", "--ordered") == 1
    good, bad, own = (json.loads(line) for line in out.read_bytes().splitlines())
    assert (good["parsed"], own["parsed"]) == ({"a": 1}, [2])
    assert bad["error"]["code"] == "invalid_output"
    assert run(None, "--output-schema", str(file), "--max-attempts", "1", "--ordered") == 1
    again = json.loads(out.read_bytes().splitlines()[0])
    assert (again["parsed"], again["source"]) == ({"a": 1}, "provider")


@pytest.mark.parametrize(
    ("flag", "content", "said"),
    [
        ("--tools", "{}", "tools must be a list of tools, not dict"),
        ("--tools", "[", "it is not JSON"),
        ("--tools", None, "cannot read it: No such file or directory"),
        ("--tools", '[{"name": ""}]', "a tool's name must be"),
        ("--output-schema", "[]", "output_schema must be a type or a JSON schema"),
        ("--output-schema", '{"type": "x"}', "the JSON schema is none"),
    ],
)
def test_a_wrong_file_is_named_before_anything_is_made(  # noqa: PLR0917  fixtures and a table
    run: Run,
    tmp_path: Path,
    out: Path,
    capsys: pytest.CaptureFixture[str],
    flag: str,
    content: str | None,
    said: str,
) -> None:
    file = tmp_path / "f.json"
    if content is not None:
        file.write_text(content)
    assert run(["p"], flag, str(file)) == 2
    told = capsys.readouterr().err
    assert f"{flag} {file}: " in told
    assert said in told
    assert not out.exists()


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    """What an endpoint called "said" answers."""
    said = Rounds(asking(("f", '{"a": 1}')), asking(("g", "{}")))
    headrace.register_provider("said", scripted(said.script))
    row = Endpoint(name="said", wire="said", base_url=NOWHERE, needs_key=False)
    headrace.register_endpoint(row)
    yield said
    headrace.unregister_endpoint("said")
    headrace.unregister_provider("said")


def test_a_file_says_what_the_model_may_call(rounds: Rounds, tmp_path: Path, source: Path) -> None:
    file, out = tmp_path / "tools.json", tmp_path / "out.jsonl"
    file.write_text(json.dumps([FUNCTION]))
    source.write_text('"p"\n' + json.dumps({"prompt": "q", "tools": [{"name": "g"}]}))
    words = ["run", str(source), "-m", "said/m", "-o", str(out), "--tools", str(file)]
    assert main([*words, "--ordered", "--max-concurrent-requests", "1"]) == 0
    sent = [[tool.name for tool in asked.tools if isinstance(tool, Tool)] for asked in rounds.asked]
    assert sent == [["f"], ["g"]]
    first, second = (json.loads(line) for line in out.read_bytes().splitlines())
    assert first["tool_calls"] == [{"id": "c0", "name": "f", "arguments": '{"a": 1}'}]
    assert (first["completion"], first["finish_reason"]) == (None, "tool")
    assert second["tool_calls"][0]["name"] == "g"
    assert main([*words, "--ordered"]) == 0
    assert len(rounds.asked) == 2
