"""The endpoints that are known by name: rows of ``endpoints.toml``, read on first use."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from headrace.core.model import Endpoint


@cache
def known() -> dict[str, Endpoint]:
    """All rows, by name."""
    more = offers()
    return {
        name: Endpoint(**{"operations": more.get(name, {}), "name": name, **row})
        for name, row in _read("endpoints.toml").items()
    }


@cache
def offers() -> dict[str, dict[str, Any]]:
    """What each of them does beside chat, by endpoint and operation."""
    return _read("operations.toml")


def _read(name: str) -> dict[str, dict[str, Any]]:
    text = resources.files("headrace.registry").joinpath(name).read_text("utf-8")
    return tomllib.loads(text)


@cache
def wires() -> frozenset[str]:
    """The wire formats of our own rows: those that are spoken over HTTP by an address."""
    return frozenset(row.wire for row in known().values())


@cache
def operation_wires() -> frozenset[str]:
    """The wire formats in which our own rows do something, chat or not."""
    return wires().union(*map(named_wires, known().values()))


def named_wires(row: Endpoint) -> list[str]:
    """The wire formats that the operations of ``row`` name."""
    offers = [each for offer in row.operations.values() for each in (offer, *offer.models.values())]
    return [offer.wire for offer in offers if offer.wire is not None]
