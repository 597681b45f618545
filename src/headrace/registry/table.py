"""The rows that are added to our own: endpoints, models and aliases, as one frozen value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from headrace.core.errors import ConfigError
from headrace.core.model import Endpoint, Model
from headrace.core.params import SamplingParams
from headrace.core.spelling import meant
from headrace.registry import endpoints

# What a row of the dialect whose servers differ may name, beside parameters.
_UNSUPPORTED: Final = ("tools", "stream_options", "name", "images", "files", "audio")
_REPLAYS: Final = (
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "thinking",
    "audio",
    "images",
)
_ONE: Final = {"models": "model", "endpoints": "endpoint", "aliases": "alias"}


@dataclass(frozen=True, slots=True)
class Table:
    """What users have added; a step makes the next one, and never edits this."""

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: Table) -> Table:
        """``other`` laid over this: its rows win."""
        return Table(
            {**self.endpoints, **other.endpoints},
            {**self.models, **other.models},
            {**self.aliases, **other.aliases},
        )

    def without(self, kind: str, name: str) -> Table:
        """This without one row; raises ``ConfigError`` where it is not there."""
        rows: dict[str, Any] = dict(getattr(self, kind))
        if name not in rows:
            msg = f"no {_ONE[kind]} {name!r} is registered{meant(name, rows)}"
            raise ConfigError(msg)
        del rows[name]
        return replace(self, **{kind: rows})

    def all_endpoints(self) -> dict[str, Endpoint]:
        """Our own rows and the user's; the user's win."""
        return {**endpoints.known(), **self.endpoints}

    def model(self, name: str) -> Model:
        """The row for what a caller writes: an alias, a registered id, or any "endpoint/model"."""
        name = self.aliases.get(name, name)
        return self.models.get(name) or Model(id=name)


def check_endpoint(row: Endpoint) -> Endpoint:
    """``row``; raises ``ConfigError`` where nobody could name it, or it names what is not."""
    if (
        not row.name
        or "/" in row.name
        or not row.name.isprintable()
        or row.name.split() != [row.name]
    ):
        msg = f"the name {row.name!r} of an endpoint must be one word without a slash"
        raise ConfigError(msg)
    if row.wire == "openai_chat":
        params = (*SamplingParams.model_fields,)
        _check_named(row, "unsupported", row.unsupported, (*params, *_UNSUPPORTED))
        _check_named(row, "renames", row.renames, params)
        _check_named(row, "replays", row.replays, _REPLAYS)
    if row.wire in endpoints.wires():
        known = {name for offers in endpoints.offers().values() for name in offers}
        _check_named(row, "operations", row.operations, known)
        named = endpoints.named_wires(row)
        _check_named(row, "the wire of its operations", named, endpoints.operation_wires())
    return row


def _check_named(row: Endpoint, where: str, names: Iterable[str], known: Iterable[str]) -> None:
    """A misspelled name would do nothing, and nobody would see it."""
    for name in names:
        if name not in known:
            msg = f"the endpoint {row.name!r} has {name!r} in {where}, which means nothing there"
            raise ConfigError(f"{msg}{meant(name, known)}")


def check_model(row: Model) -> Model:
    """``row``; raises ``ConfigError`` where its id has another form than "endpoint/model"."""
    if not row.endpoint or not row.name or not row.id.isprintable() or row.id != row.id.strip():
        msg = (
            f'the model {row.id!r} must have the form "endpoint/model",'
            ' such as "openai/gpt-4.1-mini"'
        )
        raise ConfigError(msg)
    return row


def check_alias(alias: str, model: str) -> None:
    """Raise ``ConfigError`` for an alias that would hide a model, or leads to none."""
    if not isinstance(alias, str) or not alias.strip() or "/" in alias:
        msg = f"the alias {alias!r} must be a text without a slash, such as 'fast'"
        raise ConfigError(msg)
    if not isinstance(model, str):
        msg = f'the alias {alias!r} must lead to "endpoint/model", not {type(model).__name__}'
        raise ConfigError(msg)
    check_model(Model(id=model))
