"""A function call whose arguments come in pieces (``partialArgs``), put together.

Vertex sends calls so where it is asked to (``streamFunctionCallArguments``): first the name, then
values with the place in the arguments where each belongs (a JSON path such as ``$.a.b[0]``), texts
in several pieces; the call goes on while it says ``willContinue``.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import orjson

from headrace.wire import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

_STEP: Final = re.compile(
    r"""\.([^.\[\]]+)|\[([0-9]{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\[("(?:[^"\\]|\\.)*")\]""", re.DOTALL
)
_ESCAPED: Final = re.compile(r"\\(['\\])")
_VALUES: Final = ("boolValue", "numberValue", "stringValue")


def begins(call: Mapping[str, object]) -> bool:
    """Is it the beginning of a call that comes in pieces?"""
    return "partialArgs" in call or call.get("willContinue") is True


class PartialCall:
    """A call while its pieces come in."""

    __slots__ = ("_args", "_call", "_going_on", "_part", "_texts", "is_whole")

    def __init__(self, part: Mapping[str, object]) -> None:
        """``part`` is the one that it begins with; raises ``ValueError`` as ``grow`` does."""
        self._part: dict[str, object] = {}
        self._call: dict[str, object] = {}
        self._args: dict[str, object] = {}
        self._texts: dict[str, tuple[object, str | int, list[str]]] = {}
        self._going_on: set[str] = set()
        self.is_whole = False
        self.grow(part)

    def grow(self, part: Mapping[str, object]) -> None:
        """Take one piece; raises ``ValueError`` for a value that has no place."""
        self._part.update(part)
        call = reading.block(part.get("functionCall"))
        for name in ("id", "name"):
            if (said := reading.text(call.get(name))) is not None:
                self._call[name] = said
        self._args.update(reading.block(call.get("args")))
        pieces = call.get("partialArgs")
        for piece in pieces if type(pieces) is list else ():
            self._put(reading.block(piece))
        self.is_whole = call.get("willContinue") is not True

    def part(self) -> dict[str, object]:
        """The part that would have come without streaming."""
        for inside, step, pieces in self._texts.values():
            inside[step] = "".join(pieces)  # type: ignore[index]  # a dict or a list, as found
        return {**self._part, "functionCall": {**self._call, "args": self._args}}

    def _put(self, piece: Mapping[str, object]) -> None:
        path = reading.text(piece.get("jsonPath")) or ""
        name = next((name for name in _VALUES if piece.get(name) is not None), None)
        said = None if name is None else piece[name]
        if type(said) is str and path in self._going_on:
            self._texts[path][2].append(said)
        elif name is not None or "nullValue" in piece:
            inside, step = _place(self._args, _steps(path), said)
            self._texts.pop(path, None)
            if type(said) is str:
                self._texts[path] = (inside, step, [said])
        goes_on = piece.get("willContinue") is True and path in self._texts
        (self._going_on.add if goes_on else self._going_on.discard)(path)


def _steps(path: str) -> list[str | int]:
    """``$.a['b'][0]`` as a, b and 0; raises ``ValueError`` for what is no such path."""
    steps: list[str | int] = []
    end = 1
    while path.startswith("$") and (found := _STEP.match(path, end)) is not None:
        named, index, quoted, text = found.groups()
        end = found.end()
        if index is not None:
            steps.append(int(index))
        elif text is not None:
            steps.append(str(orjson.loads(text)))
        else:
            steps.append(named or _ESCAPED.sub(r"\1", quoted))
    if not steps or end < len(path):
        msg = "an argument of a call in it has no place"
        raise ValueError(msg)
    return steps


def _place(root: object, steps: list[str | int], value: object) -> tuple[object, str | int]:
    """Put ``value`` there; the object or list that holds it, and where in it."""
    inside = root
    for step, following in pairwise(steps):
        inside = _into(inside, step, [] if type(following) is int else {})
    last = steps[-1]
    _into(inside, last, value)
    inside[last] = value  # type: ignore[index]  # as found by the line above
    return inside, last


def _into(inside: object, step: str | int, new: object) -> object:
    """What stands there; ``new`` where nothing does. Lists grow by one at a time."""
    if type(inside) is dict and type(step) is str:
        return inside.setdefault(step, new)
    if type(inside) is list and type(step) is int and step <= len(inside):
        if step == len(inside):
            inside.append(new)
        return inside[step]
    msg = "an argument of a call in it has no place"
    raise ValueError(msg)
