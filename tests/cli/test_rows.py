"""Input lines: every form that is a row, and everything that is none."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import select
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.rows import Input, Rows, mark, read_json
from headrace.core.conversation import Conversation
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.params import SamplingParams

if TYPE_CHECKING:
    from headrace.core.context import RequestContext


def read(*lines: object) -> list[RequestContext]:
    """Rows of raw lines, or of values written as JSON."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return list(Rows().read(io.BytesIO(b"\n".join(raw))))


def reason(*lines: object) -> str:
    """What is wrong with the last of the rows."""
    with pytest.raises(BadRowError) as caught:
        _ = read(*lines)[-1].conversation
    return str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        "hello",
        {"prompt": "hello"},
        {"prompt": [{"role": "user", "content": "hello"}]},
        {"messages": [{"role": "user", "content": "hello"}]},
        {"messages": [{"role": "user", "content": "hello"}], "prompt": None, "unknown": 1},
        {"custom_id": "a", "body": {"messages": [{"role": "user", "content": "hello"}]}},
    ],
)
def test_every_form_is_the_same_prompt(row: object) -> None:
    [context] = read(row)
    assert context.conversation == Conversation.of("hello")


COLUMNS = {
    "label": 1,
    "category": "x",
    "prompt_id": 3,
    "model_name": "m",
    "uid": "u",
    "idx": 1,
    "text": "t",
    "prompt_type": "q",
    "language": "en",
    "mod": 1,
    "date": "d",
    "ID": 5,
    "": 0,
}


DEEP = "[" * 1000 + "]" * 1000


@pytest.mark.parametrize(
    "row",
    [
        '{"prompt": "p", "id": %s}',
        '{"prompt": "p", "tags": %s}',
        '{"prompt": "p", "tags": {"x": [1, %s]}}',
        '{"prompt": "p", "model": %s}',
        '{"prompt": "\\ud83d\\ude00", "tags": {"x": {"y": %s}}}',
        '{"custom_id": "q", "url": %s, "body": {"messages": []}}',
    ],
)
def test_what_is_nested_too_deep_is_a_bad_row(row: str) -> None:
    assert "levels deep; make it flatter" in reason((row % DEEP).encode())


def test_many_brackets_are_not_deep() -> None:
    [context] = read({"prompt": "[{" * 500, "tags": {"x": [[]] * 500}})
    assert context.name == "0"


def test_what_a_bad_row_holds_is_told_in_short() -> None:
    assert len(reason({"prompt": "p", "id": ["x" * 99] * 999})) < 300


def test_columns_of_ones_own_change_nothing() -> None:
    [plain] = read({"prompt": "hello"})
    [row] = read({"prompt": "hello", **COLUMNS})
    assert row == plain
    [row] = read({"prompt": "hello", "body": "of an article", "message": "m", "prompts": "p"})
    assert row == plain
    [row] = read({"prompt": "hello", "tags": {"a": 1}, "tag": "mine"})
    assert row.tags == {"a": 1}


def test_a_row_brings_its_own_settings() -> None:
    row = {"id": 7, "prompt": "p", "params": {"top_k": 3}, "tags": {"a": [1]}, "deadline": 2}
    [context] = read({**row, "model": "openai/x"})
    assert (context.id, context.model, context.tags) == ("7", "openai/x", {"a": [1]})
    assert context.params == SamplingParams(top_k=3)
    assert context.deadline == 2.0


def test_ids_default_to_the_row_number_and_blank_lines_do_not_count() -> None:
    rows = read(b"\xef\xbb\xbf" + b'"first"', b"", b"  \t", "second", b"{", "\u2028", b"\r")
    assert [row.id for row in rows] == ["0", "1", "2", "3"]
    assert rows[0].prompt == "first"
    assert rows[3].prompt == "\u2028"


def test_the_batch_form_honours_the_parameters_of_its_body_and_not_its_model() -> None:
    body = {
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "p"}],
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "stop": "END",
        "seed": 3,
        "presence_penalty": None,
        "logit_bias": {"1": 2},
        "stream": True,
    }
    [context] = read(
        {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
            "model": "z",
        }
    )
    assert (context.id, context.model) == ("a", None)
    expected = {"max_tokens": 9, "temperature": 0.5, "stop": ("END",), "seed": 3}
    assert context.params is not None
    assert context.params.given() == {**expected, "extra_body": {"logit_bias": {"1": 2}}}


def test_a_batch_body_without_parameters_sets_none() -> None:
    [context] = read({"body": {"messages": [{"role": "user", "content": "p"}]}})
    assert context.params is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"{", "not JSON"),
        (b'{"prompt": "\\u12"}', "not JSON"),
        (b'{"prompt": "\\ud800", "id": NaN}', "not JSON"),
        (b'"\xff"', "not valid UTF-8"),
        (b"[" * 5000, "not JSON"),
        (b'"\\ud800' + b"[" * 5000, "not JSON"),
        (b'"\\ud800"', "lone surrogate"),
        (None, "not null"),
        ([1], "not a list"),
        (3, "not a int"),
        ({}, "neither"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "both"),
        ("", "empty"),
        ({"prompt": 3}, "not int"),
        ({"messages": []}, "empty"),
        ({"messages": [{"role": "robot", "content": "b"}]}, "robot"),
        ({"prompt": "a", "id": 1.5}, "id must be"),
        ({"prompt": "a", "id": True}, "id must be"),
        ({"prompt": "a", "params": 3}, "params"),
        ({"prompt": "a", "params": {"temperature": -1}}, "temperature"),
        ({"prompt": "a", "params": {"heat": 1}}, "heat"),
        ({"prompt": "a", "model": 3}, "model must be"),
        ({"prompt": "a", "tags": "x"}, "tags must be"),
        ({"prompt": "a", "deadline": 0}, "deadline must be"),
        ({"prompt": "a", "deadline": True}, "deadline must be"),
        ({"body": 3}, "body"),
        ({"body": {}}, "body"),
        ({"body": {"messages": [1]}, "url": "/v1/embeddings"}, "/v1/embeddings"),
        ({"body": {"messages": [1]}, "url": 3}, "url"),
        ({"body": {"messages": [1], "system": "s"}}, "system"),
        ({"body": {"messages": [1]}, "params": {"top_k": 1}}, "parameters of a batch row"),
        ({"promt": "a"}, "'promt' looks like a misspelt \"prompt\""),
        ({"Prompt": "a"}, "'Prompt' looks like a misspelt \"prompt\""),
        ({"message": [1]}, "'message' looks like a misspelt \"messages\""),
        ({"prompt": "a", "parms": {"top_k": 1}}, "'parms' looks like a misspelt \"params\""),
        ({"prompt": "a", "Params": {}}, "'Params' looks like"),
        ({"prompt": "a", "parameters": {}}, 'looks like a misspelt "params"'),
        ({"prompt": "a", "sampling_params": {}}, 'looks like a misspelt "params"'),
        ({"prompt": "a", "modle": "openai/x"}, "'modle' looks like a misspelt \"model\""),
        ({"prompt": "a", "tag": {}}, "'tag' looks like a misspelt \"tags\"; correct it, or put a"),
        ({"prompt": "a", "dealine": 5}, "'dealine' looks like a misspelt \"deadline\""),
        ({"body": {"messages": [1]}, "custom-id": "x"}, 'looks like a misspelt "custom_id"'),
        ({"prompt": "a", "temperature": 0}, 'temperature is a sampling parameter; put it into "pa'),
        ({"prompt": "a", "system": "s"}, 'into "messages", as {"role": "system", "content": …}'),
        ({"prompt": "a", "images": []}, "images is no field of a row; put it into"),
        ({"messages": [1], "functions": [], "image": None}, 'put them into "tools"'),
        ({"prompt": "a", "max_tokens": 5, "n": 1}, "max_tokens is a sampling parameter"),
        ({"prompt": "a", "params": {"temp": 0}}, "temp: there is no such field; did you mean"),
    ],
)
def test_a_bad_row_says_what_is_wrong(row: object, said: str) -> None:
    assert said in reason(row)


@given(st.lists(st.sampled_from([b"", b" ", b'"p"', b"nope"]), max_size=20))
def test_each_row_knows_its_line(lines: list[bytes]) -> None:
    rows = Rows()
    assert len(list(rows.read(lines))) == sum(1 for line in lines if line.strip())
    found = [rows.line(row) for row in range(sum(1 for line in lines if line.strip()))]
    assert found == [at for at, line in enumerate(lines, 1) if line.strip()]


def test_a_bad_row_keeps_its_id() -> None:
    assert read({"id": "x"})[0].id == "x"
    assert read(b'{"id": "x", "prompt": "\\udc00"}')[0].id == "x"


def test_the_first_row_keeps_an_id_that_comes_twice() -> None:
    lines = [{"id": "a", "prompt": "1"}, {"id": "a", "prompt": "2"}, {"id": "a#1", "prompt": "3"}]
    rows = read(*lines)
    assert [row.id for row in rows] == ["a", "a#1", "a#1#2"]
    assert rows[0].prompt == "1"
    assert "'a' is that of an earlier row" in reason(*lines[:2])
    assert "'a#1' is that of an earlier row" in reason(*lines)


def test_a_made_up_id_gives_way_too() -> None:
    rows = read(
        {"id": "a#2", "prompt": "1"}, {"id": "a", "prompt": "2"}, {"id": "a", "prompt": "3"}
    )
    assert [row.id for row in rows] == ["a#2", "a", "a#2#"]


def test_a_row_number_that_is_somebody_s_id_is_taken() -> None:
    said = "it has no id, and its number 1 is the id of an earlier row; give it an id"
    assert reason({"id": "1", "prompt": "a"}, "b") == said


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=8))
def test_any_bytes_are_rows_with_ids_of_their_own(lines: list[bytes]) -> None:
    rows = list(Rows().read([line + b"\n" for line in lines]))
    assert len(rows) == sum(1 for n, x in enumerate(lines) if not _is_blank(x, first=n == 0))
    assert len({row.name for row in rows}) == len(rows)


def _is_blank(line: bytes, *, first: bool) -> bool:
    return not (line.removeprefix(b"\xef\xbb\xbf") if first else line).strip()


@given(st.text(st.characters(exclude_categories=[])))
def test_what_python_writes_as_json_is_read(text: str) -> None:
    assert read_json(json.dumps(text).encode()) == text
    assert len(mark(text)) == 16


def test_a_file_is_counted_and_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'"a"\n\n"b"\r\n \n"c"')
    source = Input(str(path))
    assert source.count() == 3
    contexts = source.contexts()
    assert not hasattr(contexts, "__aiter__")
    assert [row.prompt for row in contexts] == ["a", "b", "c"]
    source.close()


def test_what_cannot_be_read_stops_before_the_first_request(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match="cannot read the input"):
            Input(str(path))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that breaks is of Linux")
def test_an_input_that_breaks_at_once_stops_there() -> None:
    with pytest.raises(ConfigError, match="cannot read the input /proc/self/mem: Input/output"):
        Input("/proc/self/mem")


def test_an_input_that_breaks_while_it_is_counted_stops_there_too(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'"a"\n')
    source = Input(str(path))
    writes = os.open(path, os.O_WRONLY)
    os.dup2(writes, source.file.fileno())
    os.close(writes)
    with pytest.raises(ConfigError, match=r"cannot read the input .*: Bad file descriptor"):
        source.count()
    source.close()


async def collect(rows: object) -> list[object]:
    """All prompts of a pipe, which come as they are written."""
    assert isinstance(rows, AsyncIterator)
    return [row.prompt async for row in rows]


def piped(path: str) -> list[object]:
    """What is read from a pipe or a device at ``path``."""
    source = Input(path)
    assert source.count() is None
    try:
        return asyncio.run(collect(source.contexts()))
    finally:
        source.close()


def test_a_pipe_is_read_as_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    # Both ends, so that opening waits for nobody.
    both = os.open(path, os.O_RDWR)
    writer = os.open(path, os.O_WRONLY)
    source = Input(str(path))
    os.write(writer, b'"a"\n\n"b"\n"' + b"c" * 30_000)
    os.write(writer, b'"\n"d"')
    os.close(both)
    os.close(writer)

    assert asyncio.run(collect(source.contexts())) == ["a", "b", "c" * 30_000, "d"]
    source.close()


def test_a_row_that_comes_in_pieces_is_no_printed_object(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    source = Input(str(path))

    async def feed() -> list[object]:
        reading = asyncio.ensure_future(collect(source.contexts()))
        for piece in (b"{", b'"prompt": "a"}\n'):
            os.write(both, piece)
            while select.select([both], [], [], 0)[0] and not reading.done():  # noqa: ASYNC110  a pipe has no event
                await asyncio.sleep(0)
        os.close(both)
        return await reading

    assert asyncio.run(feed()) == ["a"]
    source.close()


def test_an_empty_device_has_no_rows() -> None:
    assert piped(os.devnull) == []


def test_an_empty_pipe_does_not_keep_a_cancelled_run_from_ending(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    source = Input(str(path))

    async def give_up() -> None:
        reading = asyncio.ensure_future(collect(source.contexts()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    async def give_up_and_hear_of_it() -> None:
        await give_up()
        os.write(both, b'"late"\n')
        for thread in threading.enumerate():
            if thread.name == "headrace-input":
                thread.join()
        await asyncio.sleep(0)

    asyncio.run(give_up_and_hear_of_it())
    asyncio.run(give_up())
    # The thread that still reads gets its line after the loop has ended, and minds nothing.
    os.write(both, b'"late"\n')
    os.close(both)
    source.close()


def test_a_terminal_that_goes_away_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=terminal))
        contexts = Input("-").contexts()
        os.close(slave)
        with pytest.raises(OSError, match="Input/output error"):
            asyncio.run(collect(contexts))
