"""What a docstring says: of the function, and of each argument, in any of the usual three ways."""

from __future__ import annotations

import re
from typing import Final

# Google's headings end with a colon, NumPy's have a line under them.
_HEADINGS: Final = re.compile(
    r"(Args|Arguments|Attributes|Examples?|Keyword Args|Keyword Arguments|Notes?|Other Parameters"
    r"|Parameters|Raises|References|Returns?|See Also|Todo|Warnings?|Warns|Yields?)(:?)[ ]*"
)
_ARGUMENTS: Final = frozenset(
    {"Args", "Arguments", "Keyword Args", "Keyword Arguments", "Other Parameters", "Parameters"}
)
_GOOGLE: Final = re.compile(r"\*{0,2}(?P<names>\w+) *(?:\(.*?\))? *: *(?P<said>.*)")
_NUMPY: Final = re.compile(r"(?P<names>\*{0,2}\w+(?: *, *\*{0,2}\w+)*) *(?::.*)?(?P<said>)")
_SPHINX: Final = re.compile(r":param(?: [^:]+?)? \*{0,2}(?P<names>\w+) *: *(?P<said>.*)")
_FIELD: Final = re.compile(r":\w+[^:]*:")


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the first section, and what is said of each argument."""
    lines = text.splitlines()
    head: list[str] = []
    said: dict[str, str] = {}
    at = 0
    while at < len(lines):
        heading = _heading(lines, at)
        if heading is None and not _FIELD.match(lines[at].strip()):
            if not said and at == len(head):
                head.append(lines[at])
            at += 1
            continue
        end = _end(lines, at)
        said |= _entries(lines[at:end], heading)
        at = end
    return " ".join(" ".join(head).split()), said


def _heading(lines: list[str], at: int) -> str | None:
    found = _HEADINGS.fullmatch(lines[at])
    if found is None:
        return None
    is_underlined = at + 1 < len(lines) and re.fullmatch(r"-{3,} *", lines[at + 1]) is not None
    return found[1] if found[2] or is_underlined else None


def _end(lines: list[str], start: int) -> int:
    """Where the section, or the field of Sphinx, that begins at ``start`` ends."""
    for at in range(start + 1, len(lines)):
        if _heading(lines, at) is not None or _FIELD.match(lines[at].strip()):
            return at
    return len(lines)


def _entries(lines: list[str], heading: str | None) -> dict[str, str]:
    if heading is None:
        found = _SPHINX.match(lines[0].strip())
        return {} if found is None else {found["names"]: _joined([found["said"], *lines[1:]])}
    if heading not in _ARGUMENTS:
        return {}
    is_numpy = len(lines) > 1 and lines[1].startswith("---")
    body, form = (lines[2:], _NUMPY) if is_numpy else (lines[1:], _GOOGLE)
    depth = min((_depth(line) for line in body if line.strip()), default=0)
    said: dict[str, list[str]] = {}
    names: list[str] = []
    for line in body:
        found = form.fullmatch(line.strip()) if _depth(line) == depth else None
        if found is not None:
            names = [name.strip(" *") for name in found["names"].split(",")]
            said |= {name: [found["said"]] for name in names}
        else:
            for name in names:
                said[name].append(line)
    return {name: _joined(each) for name, each in said.items()}


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
