"""The endpoints that are known by name: rows of ``endpoints.toml``, read on first use."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from headrace.core.model import Endpoint


@cache
def known() -> dict[str, Endpoint]:
    """All rows, by name."""
    text = resources.files("headrace.registry").joinpath("endpoints.toml").read_text("utf-8")
    rows = tomllib.loads(text)
    return {name: Endpoint(name=name, **row) for name, row in rows.items()}
