"""The models that an endpoint lists: where to ask, and how each API writes its list."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import orjson

from headrace.core.errors import ConfigError
from headrace.core.listing import ListedModel
from headrace.core.model import Price
from headrace.wire import failure, reading
from headrace.wire.remedy import NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.model import Route
    from headrace.core.reply import Reply

MILLION: Final = 1_000_000
VERSION: Final = (("anthropic-version", "2023-06-01"),)
# Names of one and the same, by vendor; the first that holds a number counts.
_CONTEXT: Final = (
    "context_length",
    "context_window",
    "max_context_length",
    "max_model_len",
    "max_input_tokens",
    "inputTokenLimit",
)
_OUTPUT: Final = ("max_completion_tokens", "max_output_tokens", "outputTokenLimit", "max_tokens")


class Listing(NamedTuple):
    """One page, and what the next one is asked for with; None: it was the last."""

    models: list[ListedModel]
    cursor: str | None


class _Way(NamedTuple):
    """Where an API lists its models, under which name, and how it goes on."""

    path: str
    rows: str
    name: str
    cursor: str | None = None  # the parameter of the next page
    headers: tuple[tuple[str, str], ...] = ()


_USUAL: Final = _Way("/models", "data", "id")
_WAYS: Final = {
    "openai_chat": _USUAL,
    "openai_responses": _USUAL,
    "anthropic": _Way("/v1/models?limit=1000", "data", "id", "after_id", VERSION),
    "gemini": _Way("/models?pageSize=1000", "models", "name", "pageToken"),
    "cohere": _Way("/v1/models?page_size=1000", "models", "name", "page_token"),
    "ollama": _Way("/api/tags", "models", "name"),
}


def lists(wire: str) -> bool:
    """Is it known how an API lists its models?"""
    return wire in _WAYS


def path(wire: str, cursor: str | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Where a page is, and the headers to ask for it with."""
    way = _WAYS.get(wire, _USUAL)
    more = "" if cursor is None else f"&{way.cursor}={quote(cursor, safe='')}"
    return way.path + more, way.headers


def read(route: Route, reply: Reply) -> Listing:
    """What a reply lists; raises the error that it is otherwise."""
    failure.check(reply, {NOT_FOUND: "check the base_url, where no models are listed"})
    way = _WAYS.get(route.endpoint.wire, _USUAL)
    data = reading.load(reply.body) or {}
    rows = data.get(way.rows) if data else _bare(reply.body)  # Together writes the list alone
    if type(rows) is not list:
        raise failure.unreadable(reply, f"it has no {way.rows}")
    found = [_listed(route, way, reading.block(row)) for row in rows]
    models = [each for each in found if each is not None]
    return Listing(models, None if way.cursor is None else _cursor(data))


def _bare(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _cursor(data: Mapping[str, object]) -> str | None:
    if data.get("has_more") is True:
        return reading.text(data.get("last_id"))
    return reading.text(data.get("nextPageToken")) or reading.text(data.get("next_page_token"))


def _listed(route: Route, way: _Way, row: Mapping[str, object]) -> ListedModel | None:
    name = reading.text(row.get(way.name))
    if name is None:
        return None
    inner = {**reading.block(row.get("top_provider")), **reading.block(row.get("meta")), **row}
    return ListedModel(
        f"{route.endpoint.name}/{name.removeprefix('models/')}",
        _first(inner, _CONTEXT) or _first(inner, ("n_ctx", "n_ctx_train")),
        _first(inner, _OUTPUT),
        _price(reading.block(row.get("pricing"))),
        dict(row),
    )


def _first(row: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = row.get(name)
        whole = int(value) if type(value) is float and value.is_integer() else value
        if type(whole) is int and whole > 0:
            return whole
    return None


def _price(told: Mapping[str, object]) -> Price | None:
    """OpenRouter tells dollars for a token, as text; Together for a million."""
    each = {"input": "prompt", "output": "completion"}
    more = {"cache_read": "input_cache_read", "cache_write": "input_cache_write"}
    try:
        if "prompt" in told:
            named = {ours: told[theirs] for ours, theirs in (each | more).items() if theirs in told}
            rates = {name: Decimal(str(value)) * MILLION for name, value in named.items()}
        else:
            rates = {name: Decimal(str(told[name])) for name in each}
        return Price(**{name: rate.normalize() for name, rate in rates.items()})
    except (KeyError, InvalidOperation, ConfigError):
        return None
