"""Rows as a user writes them: TOML with ``[[models]]``, ``[endpoints.NAME]`` and ``[aliases]``."""

from __future__ import annotations

import tomllib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from headrace.core.errors import ConfigError
from headrace.core.model import Endpoint, Model
from headrace.core.spelling import meant
from headrace.registry.table import Table, check_alias, check_endpoint, check_model

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_FORMS: Final = {"models": "[[models]]", "endpoints": "[endpoints.NAME]", "aliases": "[aliases]"}


def parse(text: str, source: str) -> Table:
    """The rows of a file; raises ``ConfigError`` with the file and the line or the field."""
    data = _load(text, source)
    endpoints = {
        name: _made(f"{source}: endpoints.{name}", partial(_endpoint, name), fields)
        for name, fields in _rows(data, "endpoints", source, dict).items()
    }
    models = [
        _made(f"{source}: models: number {number}", _model, fields)
        for number, fields in enumerate(_rows(data, "models", source, list), start=1)
    ]
    aliases = _rows(data, "aliases", source, dict)
    for alias, model in aliases.items():
        _made(f"{source}: aliases", partial(check_alias, alias), model)
    return Table(endpoints, {row.id: row for row in models}, aliases)


def _load(text: str, source: str) -> dict[str, Any]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{source} is no TOML: {error}; mend it there"
        raise ConfigError(msg) from None
    for name in data:
        if name not in _FORMS:
            msg = f"{source}: there is no table {name!r}{meant(name, _FORMS)}"
            raise ConfigError(msg)
    return data


def _rows(data: dict[str, Any], name: str, source: str, kind: type[T]) -> T:
    rows = data.get(name, kind())
    if not isinstance(rows, kind):
        msg = f"{source}: {name} must be written as {_FORMS[name]}"
        raise ConfigError(msg)
    return rows


def _made(where: str, make: Callable[[Any], T], given: object) -> T:
    try:
        return make(given)
    except ConfigError as error:
        msg = f"{where}: {error.message}"
        raise ConfigError(msg) from None


def _endpoint(name: str, fields: object) -> Endpoint:
    return check_endpoint(Endpoint(**{**_fields(fields), "name": name}))


def _model(fields: object) -> Model:
    return check_model(Model(**_fields(fields)))


def _fields(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        msg = f"it must be a table of fields, not {given!r}"
        raise ConfigError(msg)
    return given
