"""The format is the documented one, and newer records do not disturb it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine import journal_format as form
from headrace.engine.journal_recovery import CHUNK
from tests.engine.journal.contents import ROWS, answered, lines_of, recover, valid
from tests.engine.journal.rows import key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_the_format_is_what_the_documentation_says() -> None:
    """Read with nothing but ``json`` and ``zlib``."""
    crc, kinds, claimed = 0, [], 0
    content = valid()
    for number, line in enumerate(content.splitlines()):
        record = json.loads(line[9:])
        if number == 0:
            assert list(record) == ["t", "v", "salt", "created"]
            crc = crc32(record["salt"].encode())
        crc = crc32(line[9:], crc)
        assert line[:9] == b"%08x " % crc
        if record["t"] == "s":
            claimed = record["o"]
        else:
            kinds.append(record["t"])
    assert kinds == ["headrace-journal", "run", *["i", "a"] * ROWS]
    assert claimed == content.rindex(b"\n", 0, -1) + 1


def test_the_reader_in_the_documentation_reads(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "journal.md").read_text()
    program = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Callable[[Path], Iterator[dict[str, object]]]] = {}
    exec(program, names)  # noqa: S102  it is our own page
    for closed in (True, False):
        (tmp_path / "j").write_bytes(valid(closed=closed))
        kinds = [record["t"] for record in names["records"](tmp_path / "j")]
        assert kinds.count("a") == ROWS
    (tmp_path / "j").write_bytes(valid().replace(b"body", b"bady", 1))
    with pytest.raises(AssertionError, match="line 4 is damaged"):
        list(names["records"](tmp_path / "j"))


def test_an_unknown_version_is_refused() -> None:
    salt = "00112233445566ff"
    head = form.header(salt, 0.0).replace(b'"v":1', b'"v":2')
    text, _ = form.lines([head], crc32(salt.encode()))
    with pytest.raises(
        JournalError, match=r"format 2, and this headrace knows only 1; use the ver"
    ):
        recover(text)


def test_unknown_records_are_skipped() -> None:
    strange = [b'{"t":"zz","k":"%032x","x":1}' % 7, b'{"t":""}', b'{"new":1}', b"[]", b'{"t":"i"}']
    journal, _ = recover(lines_of(*strange, form.value(key(1), "r", "m", b"7", None)))
    assert (journal.recovered.answered, journal.recovered.in_flight) == (1, 0)
    found = journal.find(key(1))
    assert found is not None
    assert found.value == b"7"
    journal.close()


@pytest.mark.parametrize(
    ("kinds", "in_flight"),
    [("i", 1), ("iw", 0), ("iwi", 1), ("iwiw", 0), ("iiw", 1), ("iiwa", 0), ("iiwf", 0), ("iiu", 1),
     ("iu", 0), ("w", 0), ("wi", 1), ("aiw", 0)],
)  # fmt: skip
def test_a_row_is_in_flight_as_long_as_one_of_its_sends_is_open(kinds: str, in_flight: int) -> None:
    reply = Reply(200, b"")
    records = {
        "i": form.intent(key(1), "r", 1),
        "w": form.withdrawn(key(1), 1, "gone"),
        "u": form.reply(b"u", key(1), "r", "", reply, None),
        "a": form.reply(b"a", key(1), "r", "m", reply, None),
        "f": form.failed(key(1), {}, None),
    }
    journal, _ = recover(lines_of(form.intent(key(2), "r", 1), *(records[kind] for kind in kinds)))
    assert journal.recovered.in_flight == 1 + in_flight
    journal.close()


def test_a_withdrawn_send_is_written_as_the_documentation_says() -> None:
    record = json.loads(form.withdrawn(key(7), 3, "rate_limited"))
    assert record == {"t": "w", "k": key(7).hex(), "n": 3, "c": "rate_limited"}


def test_lines_longer_than_a_read_are_whole() -> None:
    journal, _ = recover(valid(body=b"x" * CHUNK))
    assert len(answered(journal)) == ROWS
    journal.close()
