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
    rows, offers = _read("endpoints.toml"), _read("operations.toml")
    return {
        name: Endpoint(**{"operations": offers.get(name, {}), "name": name, **row})
        for name, row in rows.items()
    }


def _read(name: str) -> dict[str, dict[str, Any]]:
    text = resources.files("headrace.registry").joinpath(name).read_text("utf-8")
    return tomllib.loads(text)
