"""The house keeps its own rules: names, sizes, words, waivers, and no trace of a machine."""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest

import headrace

if TYPE_CHECKING:
    from collections.abc import Iterator

# On one worker, which parses each file once.
pytestmark = [pytest.mark.once, pytest.mark.xdist_group("house")]
ROOT: Final = Path(__file__).resolve().parents[1]
LINES_OF_A_MODULE: Final = 400
LINES_OF_A_FUNCTION: Final = 40
PROMISED: Final = {
    "APIResponse",
    "Conversation",
    "LLMClient",
    "Message",
    "RequestContext",
    "SamplingParams",
    "Usage",
}
BANNED: Final = re.compile(r"^(task|job|manager|handler|helper|util|misc|tracker)s?$")
WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
# A waiver names its code and its reason, and stands where it is needed: not over a whole file.
WAIVER: Final = re.compile(r"#\s*(type:\s*ignore|noqa|pragma:\s*no\b|ruff:\s*noqa|mypy:)")
REASONED: Final = re.compile(
    r"# type: ignore\[[a-z, -]+\]\s+# (noqa: .*)?\S+ \S+"
    r"|# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* +[ #-]*[^\W_]\S* \S+"
    r"|# pragma: no (cover|branch) - \S+ \S+"
)
# Written with brackets, so that the rule does not break itself.
TRACES: Final = re.compile(
    r"/wor[k]/|/far[m]/|/hom[e]/\w|/roo[t]/|/User[s]/\w|bash_job[s]|subagen[t]"
    r"|pyp[i]\.org|pythonhoste[d]|npmj[s]|deb\.[d]ebian"
)
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def files() -> tuple[Path, ...]:
    """Every file of the project: what git would keep, or, outside git, what is not hidden."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - found on PATH
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [p for p in ROOT.rglob("*") if not re.search(r"/\.|__pycache__", p.as_posix())]
    return tuple(sorted(path for path in found if path.is_file()))


def sources(*folders: str) -> list[Path]:
    """The Python files below ``folders``, or all of them."""
    python = [path for path in files() if path.suffix == ".py"]
    return [p for p in python if not folders or p.relative_to(ROOT).parts[0] in folders]


def place(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def named(path: Path) -> tuple[ast.AST, ...]:
    """What gives a name to anything, found in one walk."""
    kinds = (*DEFINITIONS, ast.arg, ast.Name, ast.Attribute, ast.alias)
    return tuple(node for node in ast.walk(tree(path)) if isinstance(node, kinds))


def functions(path: Path) -> Iterator[Function]:
    for node in named(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def names(path: Path) -> Iterator[tuple[str, int]]:
    """Each name that ``path`` gives to anything: modules, classes, functions, values."""
    yield path.stem, 1
    yield path.parent.name, 1
    for node in named(path):
        if isinstance(node, DEFINITIONS):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def comments(path: Path) -> Iterator[tuple[str, int]]:
    text = path.read_text(encoding="utf-8")
    if not WAIVER.search(text):
        return  # most of them, and to take them apart takes time
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string, token.start[0]


@cache
def documentation() -> str:
    """Everything that a user is given to read."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


@cache
def shown_by_help(*command: str) -> str:
    """What ``headrace COMMAND --help`` prints."""
    call = f"import sys; from headrace.cli.main import main; sys.exit(main({[*command, '--help']}))"
    said = subprocess.run(
        [sys.executable, "-c", call], capture_output=True, text=True, check=False, timeout=50
    )
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_the_house_is_not_empty() -> None:
    assert len(sources("src")) > 20
    assert len(sources("tests")) > 10


def test_the_public_names_are_exactly_the_listed_ones() -> None:
    visible = {
        name
        for name in dir(headrace)
        if not name.startswith("_")
        and (name in headrace.__all__ or not isinstance(getattr(headrace, name), ModuleType))
        and name != "annotations"  # what ``from __future__ import annotations`` leaves
    }
    assert visible == {name for name in headrace.__all__ if not name.startswith("_")}
    assert len(set(headrace.__all__)) == len(headrace.__all__)
    assert visible >= PROMISED


def test_modules_stay_small() -> None:
    lengths = {place(p): len(p.read_text(encoding="utf-8").splitlines()) for p in sources()}
    assert {p: n for p, n in lengths.items() if n > LINES_OF_A_MODULE} == {}


def lines(node: ast.AST) -> int:
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    return int(last - first + 1)


def length(node: Function) -> int:
    """Without the docstring and the options, of which there may be many: they are the interface."""
    docstring = lines(node.body[0]) if ast.get_docstring(node) else 0
    before = [node.lineno, *(given.lineno for given in node.args.args)]
    options = [option.lineno for option in node.args.kwonlyargs]
    return lines(node) - docstring - (options[-1] - before[-1] if options else 0)


def test_functions_stay_small() -> None:
    lengths = {
        f"{place(path, node.lineno)} {node.name}": length(node)
        for path in sources()
        for node in functions(path)
    }
    assert {p: n for p, n in lengths.items() if n > LINES_OF_A_FUNCTION} == {}


def test_no_name_uses_a_banned_word() -> None:
    found = [
        f"{place(path, line)} {name}"
        for path in sources()
        for name, line in names(path)
        if any(BANNED.match(word.lower()) for word in WORD.findall(name))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "banned"),
    [
        ("TaskGroup", True),
        ("run_jobs", True),
        ("HTTPHandler", True),
        ("utils", True),
        ("utility", False),
        ("jobless", False),
        ("miscount", False),
    ],
)
def test_the_glossary_reads_words_and_not_letters(name: str, banned: bool) -> None:
    assert any(BANNED.match(word.lower()) for word in WORD.findall(name)) is banned


def imports(node: ast.AST) -> Iterator[str]:
    """The packages that are imported when the program runs, wherever in it."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names)
        elif isinstance(part, ast.ImportFrom) and part.module and not part.level:
            yield part.module
        elif not (isinstance(part, ast.If) and ast.unparse(part.test) == "TYPE_CHECKING"):
            yield from imports(part)


def test_what_is_imported_is_declared() -> None:
    """Not found by chance, since something else depends on it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        named += extra
    declared = {re.split(r"[^\w-]", name)[0].replace("-", "_") for name in named}
    known = packages_distributions()
    packages = {name.partition(".")[0] for path in sources("src") for name in imports(tree(path))}
    foreign = packages - sys.stdlib_module_names - {"headrace"}
    sold_as = {name: {n.replace("-", "_") for n in known.get(name, [name])} for name in foreign}
    assert len(foreign) > 5
    assert {name for name in foreign if not sold_as[name] & declared} == set()


def test_waivers_name_their_code_and_their_reason() -> None:
    found = [
        f"{place(path, line)} {comment}"
        for path in sources()
        for comment, line in comments(path)
        if WAIVER.search(comment) and not REASONED.search(comment)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("comment", "fine"),
    [
        ("# type: ignore[arg-type]  # the stub lacks it", True),
        ("# noqa: ANN401 - pydantic's contract", True),
        ("# noqa: S603, S607 - a fixed command", True),
        ("# noqa: N818  what happened, not a fault", True),
        ("# pragma: no cover - only on Windows", True),
        ("# type: ignore[arg-type]", False),
        ("# type: ignore", False),
        ("# noqa: ANN401", False),
        ("# noqa", False),
        ("# ruff: noqa: ANN401  options are passed on", False),
        ("# ruff: noqa", False),
        ("# pragma: no cover", False),
    ],
)
def test_a_waiver_without_a_reason_is_seen(comment: str, fine: bool) -> None:
    assert WAIVER.search(comment)
    assert bool(REASONED.search(comment)) is fine


def test_no_file_names_a_machine_or_a_registry() -> None:
    found: list[str] = []
    for path in files():
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
        found += [
            f"{place(path, n)} {line}" for n, line in enumerate(lines, 1) if TRACES.search(line)
        ]
    assert found == []


def test_no_emoji() -> None:
    emoji = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
    texts = [p for p in files() if p.suffix in {".py", ".md", ".toml"} and "tests" not in p.parts]
    assert [place(p) for p in texts if emoji.search(p.read_text(encoding="utf-8"))] == []


def test_the_documentation_names_every_public_name() -> None:
    words = set(re.findall(r"\w+", documentation()))
    assert sorted(set(headrace.__all__) - words) == []


def test_the_documentation_names_every_flag() -> None:
    commands = re.search(r"\{([a-z,-]+)\}", shown_by_help())
    assert commands is not None, "headrace --help lists no subcommands"
    missing = {
        f"headrace {command} {flag}"
        for command in commands[1].split(",")
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown_by_help(command))
        if not re.search(rf"{re.escape(flag)}(?![\w-])", documentation())
    }
    assert missing - {f"headrace {c} --help" for c in commands[1].split(",")} == set()
