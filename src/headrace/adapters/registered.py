"""What this process has registered beside our own rows; clients made afterwards see it.

Rows are one frozen table that is replaced under one lock, never edited; the files and variables
they may come from are read here.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headrace.core.errors import ConfigError
from headrace.core.model import Endpoint, Model
from headrace.core.spelling import meant
from headrace.registry import resolve, rows_file
from headrace.registry import table as rows
from headrace.registry.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

GROUP: Final = "headrace.providers"
FILE: Final = "HEADRACE_ROWS"
_lock = threading.RLock()
_table = Table()
_classes: dict[str, type[Any]] = {}
_loaded: set[str] = set()


def environ(name: str) -> str | None:
    """The environment variable ``name``, as it is now."""
    return os.environ.get(name)


def table() -> Table:
    """All registered rows; the file that HEADRACE_ROWS names is read once."""
    path = os.environ.get(FILE)
    if path:
        with _lock:
            if path not in _loaded:
                _change(_read(path).over)  # what is said in code wins
                _loaded.add(path)
    return _table


def _change(step: Callable[[Table], Table]) -> None:
    global _table  # noqa: PLW0603  what is registered belongs to the process
    with _lock:
        _table = step(_table)


def load_rows(path: str | os.PathLike[str]) -> None:
    """Register the rows of a TOML file: ``[[models]]``, ``[endpoints.NAME]`` and ``[aliases]``.

    All of them or, where one is wrong, none: then ``ConfigError`` names the file and the field.
    """
    found = _read(path)
    _change(lambda now: now.over(found))


def check_rows() -> None:
    """Raise ``ConfigError`` for a model or an alias that leads to an endpoint which nobody knows.

    For where nothing is registered any more; an endpoint may come after those who lead there.
    """
    now = table()
    for row in (*now.models.values(), *map(now.model, now.aliases)):
        if not _offers(row.endpoint):
            resolve.endpoint_of(row, now)


def _read(path: str | os.PathLike[str]) -> Table:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError, ValueError, TypeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        msg = f"the rows in {os.fspath(path)!r} cannot be read: {why}; check the path"
        raise ConfigError(msg) from None
    return rows_file.parse(text, os.fspath(path))


def register_endpoint(row: Endpoint) -> None:
    """Make ``"NAME/model"`` reach this endpoint, in clients made afterwards.

    A name of our own is replaced until it is unregistered. Raises ``ConfigError`` for a bad name.
    """
    checked = rows.check_endpoint(_of_kind(row, Endpoint))
    _change(lambda now: now.over(Table(endpoints={checked.name: checked})))


def register_model(row: Model) -> None:
    """Let clients made afterwards that name ``row.id`` mean this row, with its prices and limits.

    Raises ``ConfigError`` for an id that has not the form "endpoint/model".
    """
    checked = rows.check_model(_of_kind(row, Model))
    _change(lambda now: now.over(Table(models={checked.id: checked})))


def register_alias(alias: str, model: str) -> None:
    """Let ``alias`` mean the model ``"endpoint/model"``, in clients made afterwards.

    Raises ``ConfigError`` for an alias with a slash, which would hide a model.
    """
    rows.check_alias(alias, model)
    _change(lambda now: now.over(Table(aliases={alias: model})))


def unregister_endpoint(name: str) -> None:
    """Forget a registered endpoint; one of our own is as it was. ``ConfigError``: there is none."""
    _forget("endpoints", name)


def unregister_model(name: str) -> None:
    """Forget the registered row of a model id; raises ``ConfigError`` where there is none."""
    _forget("models", name)


def unregister_alias(alias: str) -> None:
    """Forget an alias; raises ``ConfigError`` where there is none."""
    _forget("aliases", alias)


def _forget(kind: str, name: str) -> None:
    table()  # it may be a row of the file that nobody has read yet
    _change(lambda now: now.without(kind, name))


def list_endpoints() -> list[Endpoint]:
    """Every endpoint that a model may name, by name: our own rows and the registered ones."""
    return [row for _, row in sorted(table().all_endpoints().items())]


def list_models() -> list[Model]:
    """The registered models, by id. Others work, too: any name of a known endpoint does."""
    return [row for _, row in sorted(table().models.items())]


def list_aliases() -> dict[str, str]:
    """The registered aliases, each with the model it means."""
    return dict(sorted(table().aliases.items()))


def _of_kind(row: object, kind: type[Any]) -> Any:  # noqa: ANN401  the kind that is asked for
    if not isinstance(row, kind):
        msg = f"what is registered must be of type {kind.__name__}, not {type(row).__name__}"
        raise ConfigError(msg)
    return row


# Request classes.


def classes() -> dict[str, type[Any]]:
    """The registered request classes by name."""
    with _lock:
        return dict(_classes)


def register_class(name: str, made: type[Any]) -> None:
    """Remember a request class under ``name``; ``providers.catalog`` says which may be."""
    with _lock:
        _classes[name] = made


def unregister_class(name: str) -> None:
    """Forget a request class; raises ``ConfigError`` where there is none."""
    with _lock:
        if name not in _classes:
            msg = f"no provider {name!r} is registered{meant(name, _classes)}"
            raise ConfigError(msg)
        del _classes[name]


@lru_cache(maxsize=256)  # a million rows may name an endpoint that there is not
def _offers(name: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # noqa: PLC0415  slow to load, and few ask

    return tuple(entry_points(group=GROUP, name=name))


def discover(name: str) -> bool:
    """Load what installed packages offer under ``name``; False where none offers it.

    A class is a request class of that name; a function is called, and registers what it likes.
    Raises ``ConfigError`` where a package cannot be loaded.
    """
    offers = _offers(name)
    for offer in offers:
        try:
            found = offer.load()
            if isinstance(found, type):
                register_class(name, found)
            else:
                found()
        except Exception as error:
            msg = (
                f"the package that offers {name!r} ({offer.value}) cannot be loaded:"
                f" {type(error).__name__}: {error}; mend or uninstall it"
            )
            raise ConfigError(msg) from error
    return bool(offers)
