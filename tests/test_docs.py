"""What the documentation shows is true: its Python runs, its pages are up to date."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType, CoroutineType
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES: Final = sorted((ROOT / "examples").glob("*.py"))
# A block is left out only by a comment right above it that says why.
BLOCK: Final = re.compile(
    r"(?P<waiver><!-- not run: (?P<reason>\S[^>]*?) -->\n+)?"
    r"^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
# Python under another name would escape the run.
ESCAPES: Final = re.compile(
    r"^ *```(?:py|py3|python3|pycon|ipython|Python|python +\S.*)$", re.MULTILINE
)


class Block(NamedTuple):
    """A piece of Python in a page, and the line on which it begins."""

    line: int
    code: str


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page that are to run, in order."""
    for found in BLOCK.finditer(text):
        if found["reason"] is None:
            line = text.count("\n", 0, found.start("code"))
            indent = len(found["indent"])
            yield Block(line, "".join(row[indent:] for row in found["code"].splitlines(True)))


def compiled(block: Block, page: str) -> CodeType:
    """The block as code whose tracebacks name the page's own lines; ``await`` may stand alone."""
    shifted = "\n" * block.line + block.code
    code: CodeType = compile(
        shifted, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    return code


def run(text: str, page: str) -> dict[str, object]:
    """Run the blocks of a page one after the other, as cells of one notebook."""
    seen: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(text):
        pending: object = eval(compiled(block, page), seen)  # noqa: S307 - our own pages
        if isinstance(pending, CoroutineType):
            asyncio.run(pending)
    return seen


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_python_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert ESCAPES.search(text) is None
    run(text, str(page))


def test_the_readme_begins_with_python_that_runs() -> None:
    found = list(blocks((ROOT / "README.md").read_text(encoding="utf-8")))
    assert found
    assert found[0].line < 60, "the first screen shows code"


def test_the_errors_page_is_up_to_date() -> None:
    written = subprocess.run(
        [sys.executable, ROOT / "docs" / "errors_page.py"],
        capture_output=True,
        check=True,
        timeout=50,
    )
    page = (ROOT / "docs" / "errors.md").read_bytes()
    assert page == written.stdout, "docs/errors.md is old: run `nox -s errors-page`"


def test_the_table_of_endpoints_is_up_to_date() -> None:
    written = subprocess.run(
        [sys.executable, ROOT / "docs" / "endpoints_page.py"],
        capture_output=True,
        check=True,
        timeout=50,
    )
    page = (ROOT / "docs" / "endpoints.md").read_bytes()
    assert page == written.stdout, "docs/endpoints.md is old: run `nox -s endpoints-page`"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs_without_a_key(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr


def test_blocks_share_their_names_and_may_await() -> None:
    text = (
        "```python\na = 1\n```\n"
        "1. item\n\n   ```python\n   import asyncio\n   b = await asyncio.sleep(0, a + 1)\n   ```\n"
        "<!-- not run: it costs money -->\n```python\na = 5\n```\n"
        "```console\na = 6\n```\n"
    )
    seen = run(text, "page.md")
    assert (seen["a"], seen["b"]) == (1, 2)


@pytest.mark.parametrize("waiver", ["<!-- not run -->", "<!-- not run: -->", "<!-- not run:  -->"])
def test_a_block_without_a_reason_is_not_left_out(waiver: str) -> None:
    assert [b.code for b in blocks(f"{waiver}\n```python\na = 1\n```\n")] == ["a = 1\n"]


def test_a_failing_block_names_the_line_of_its_page() -> None:
    with pytest.raises(ZeroDivisionError) as failed:
        run("# Page\n\n```python\na = 1\n1 / 0\n```\n", "page.md")
    assert (failed.traceback[-1].path, failed.traceback[-1].lineno + 1) == ("page.md", 5)


@pytest.mark.parametrize("tag", ["py", "pycon", "python title=x"])
def test_python_under_another_name_is_seen(tag: str) -> None:
    assert ESCAPES.search(f"text\n```{tag}\na\n```")
