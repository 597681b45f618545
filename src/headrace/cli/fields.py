"""Which fields a row may hold: those of its command, and columns of the user's own."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from headrace.cli.shapes import Asked
from headrace.core.conversation import Prompt
from headrace.core.errors import BadRowError
from headrace.core.operations import Operation

# Fields of every row without which it would be another one, but not visibly.
_QUIET: Final = ("params", "model", "tags", "deadline", "custom_id")
_BATCH: Final = ("method", "url", "body")
_OTHER_NAMES: Final = {"sampling_params": "params", "parameters": "params"}


@dataclass(frozen=True)
class Fields:
    """What the rows of one command hold: ``command`` is its name, as it is typed.

    A row has one of ``prompts``, and may have ``more`` without which it would be another one.
    ``parameters`` belong into ``params``, and what ``elsewhere`` names is told where to put it.
    ``asked`` reads a row, and ``bad`` makes what stands where a prompt would: its reader gets the
    reason as ``BadRowError``.
    """

    command: str
    prompts: tuple[str, ...]
    more: tuple[str, ...]
    parameters: frozenset[str]
    elsewhere: Mapping[str, str]
    asked: Callable[[dict[str, object], Sequence[str]], Asked]
    bad: Callable[[str], Prompt | Operation]

    @cached_property
    def own(self) -> tuple[str, ...]:
        """All that a row may have beside its prompt, without which it would be another one."""
        return (*_QUIET, *self.more)

    @cached_property
    def known(self) -> frozenset[str]:
        """All fields that are no columns of the user's own."""
        return frozenset({*self.own, *self.prompts, *_BATCH, "id"})


def asked_of(data: dict[str, object], fields: Fields) -> Asked:
    """What a row asks for, whatever form it has."""
    given = [key for key in fields.prompts if data.get(key) is not None]
    _check_names(data, fields, has_prompt=bool(given or "body" in data))
    if len(given) > 1 or not (given or "body" in data):
        named = [f'"{name}"' for name in given or fields.prompts]
        said = f"{' and '.join(named)}; leave {named[0]} out" if given else " nor ".join(named)
        raise BadRowError(f"the row has {'both' if given else 'neither'} {said}")
    return fields.asked(data, given)


def _check_names(data: dict[str, object], fields: Fields, *, has_prompt: bool) -> None:
    """Refuse a field that was meant to be one of ours; other columns are the user's own."""
    others = data.keys() - fields.known
    if not others:
        return
    names = fields.own if has_prompt else fields.own + fields.prompts
    wanted = [name for name in names if name not in data]
    for key in sorted(others):
        if key in fields.parameters:
            raise BadRowError(f'{key} is a sampling parameter; put it into "params"')
        if key in fields.elsewhere and data[key] is not None:
            raise BadRowError(_belongs(key, fields.elsewhere[key]))
        for name in wanted:
            if _is_like(key, name):
                said = f'the field {reprlib.repr(key)} looks like a misspelt "{name}"'
                raise BadRowError(f'{said}; correct it, or put a column of your own into "tags"')


def _belongs(key: str, where: str) -> str:
    said = f"{key} is no field of a row; {where}"
    return f'{said} (a column of your own goes into "tags")'


@lru_cache(maxsize=1024)
def _is_like(key: str, name: str) -> bool:
    """Another word for it, or a slip: a letter wrong, missing or too many, or two that swapped."""
    word = key.strip().lower()
    if _OTHER_NAMES.get(word) == name:
        return True
    while word and name and word[0] == name[0]:
        word, name = word[1:], name[1:]
    while word and name and word[-1] == name[-1]:
        word, name = word[:-1], name[:-1]
    return max(len(word), len(name)) <= 1 or (len(word) == len("ab") and word == name[::-1])
