"""From what a caller writes ("openai/gpt-4.1-mini") to the routes that lead there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

from headrace.core.errors import ConfigError
from headrace.core.model import NO_MODEL, Endpoint, KeySource, Model, Route
from headrace.core.spelling import near
from headrace.registry import address
from headrace.registry.table import Table, check_model

if TYPE_CHECKING:
    from headrace.registry.address import Environ

OWN: Final = Table()
# What people copy with the base URL, and request classes add themselves.
_IN_PATHS: Final = {"anthropic": ("/v1",), "cohere": ("/v2", "/v1"), "ollama": ("/api", "/v1")}
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the caller says that an endpoint is, if not where its row says, and with which keys."""

    base_url: str | None = None
    api_keys: tuple[KeySource, ...] = ()
    allow_http: bool = False

    @property
    def is_special(self) -> bool:
        """Is anything said about one endpoint in particular?"""
        return self.base_url is not None or bool(self.api_keys)

    def elsewhere(self) -> Place:
        """The same for another endpoint, which gets neither the address nor the key of this one."""
        return Place(allow_http=self.allow_http)


def model_row(spec: object, table: Table = OWN) -> Model:
    """A row from a name or a row; raises ``ConfigError`` with the form that is expected."""
    if isinstance(spec, Model):
        return check_model(spec)
    if isinstance(spec, str):
        return check_model(table.model(spec))
    msg = f'a model is "endpoint/model" or a Model, not {type(spec).__name__}'
    raise ConfigError(msg)


def route(model: Model, place: Place) -> Route:
    """The first route to ``model`` by our own rows, where no environment is needed."""
    return routes(model, place, OWN, lambda _: None)[0]


def routes(model: Model, place: Place, table: Table, environ: Environ) -> tuple[Route, ...]:
    """One route for each region and key; raises ``ConfigError`` when there is no way there."""
    row = endpoint_of(model, table)
    sources = _sources(model, row, place)
    if place.base_url is None:
        _check_served(model, row)
    else:
        row = _elsewhere(row, place, has_key=sources[0] != KeySource())
    where = address.regions(model, row, environ)
    query = "" if row.query is None else f"?{address.fill(row.query, model, row, environ)}"

    at_large = row.base_url or ""

    def at(region: str | None) -> str:
        return address.base_url(model, row, region, environ, allow_http=place.allow_http)

    return tuple(
        Route(
            model,
            row,
            at(region),
            source,
            number=number,
            region=region,
            query=query,
            place=None if region is None else address.fill(at_large, model, row, environ),
        )
        for region, (number, source) in product(where, enumerate(sources, start=1))
    )


def endpoint_of(model: Model, table: Table) -> Endpoint:
    """The row of a model's endpoint; raises ``ConfigError``, also with the alias, where none is."""
    rows = table.all_endpoints()
    row = rows.get(model.endpoint)
    if row is None:
        like = near(model.endpoint.lower(), rows)
        alias = next((name for name, id_ in table.aliases.items() if id_ == model.id), None)
        of = "" if model.called == model.endpoint else f" of {model.id!r}"
        meant = "" if alias is None else f" (the alias {alias!r})"
        msg = (
            f"the endpoint {model.endpoint!r}{of}{meant} is not known"
            f"{'' if like is None else f'; did you mean {like}?'};"
            ' for a compatible server use "openai/NAME" with base_url='
            f" (there are {', '.join(sorted(rows))})"
        )
        raise ConfigError(msg)
    return row


def _check_served(model: Model, row: Endpoint) -> None:
    if row.models is not None and model.name not in {*row.models, NO_MODEL}:
        there = ", ".join(f"{row.name}/{name}" for name in row.models)
        msg = f"there is no model {model.id!r}; use {there}"
        raise ConfigError(msg)


def _sources(model: Model, row: Endpoint, place: Place) -> list[KeySource]:
    """Where the keys come from, one source for each; a vendor's own stays with the vendor."""
    if place.api_keys and model.key_env:
        msg = f"{model.called} has key_env= on its row, and api_key= is given, too; leave out one"
        raise ConfigError(msg)
    if place.api_keys:
        if row.auth != "aws" and any(key.secret is None for key in place.api_keys):
            msg = (
                f"{model.called} takes no credentials of AWS; pass its API key, a text, as api_key"
            )
            raise ConfigError(msg)
        return [*place.api_keys]
    names = model.key_env
    if any(not _VARIABLE.fullmatch(name) for name in names) or len(set(names)) < len(names):
        msg = f"{model.called}: key_env= takes names of environment variables, each once, no keys"
        raise ConfigError(msg)
    if names and row.auth == "none" and place.base_url is None:
        msg = f"{model.called} takes no key; leave out key_env="
        raise ConfigError(msg)
    if names:
        return [KeySource(env=(name,)) for name in names]
    return [KeySource(env=row.key_env if place.base_url is None else ())]


def _elsewhere(row: Endpoint, place: Place, *, has_key: bool) -> Endpoint:
    """A server that speaks like ``row`` at another address; it never gets ``row``'s own key."""
    base_url = address.check_url(place.base_url or "", allow_http=place.allow_http)
    for version in _IN_PATHS.get(row.wire, ()):
        base_url = base_url.removesuffix(version)
    if not has_key and address.is_cloud(base_url, row.auth):
        msg = (
            f"{row.name} at base_url {base_url!r} gets no credentials but those of api_key=; to use"
            f" your own there, register an endpoint with auth={row.auth!r} and this base_url"
        )
        raise ConfigError(msg)
    auth = row.auth if has_key else "none"
    if has_key and auth == "none":
        auth = "bearer"
    own: dict[str, object] = {"base_url": base_url, "auth": auth, "price": None}
    # Residency hosts of a vendor (eu.api.openai.com) are no other servers; they get no key either.
    if not address.is_under(base_url, row):
        own |= {"max_tokens_field": "max_tokens", "unsupported": (), "cache_marks": None}
        own["lenient"] = True  # what the vendor refuses, others may take
    if not address.is_at(base_url, row):
        own["prices"] = ""  # another server has other models and prices, and so may a residency
    return row.model_copy(update=own)
