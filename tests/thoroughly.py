"""Values of a parameter of which one shows the most."""

from __future__ import annotations

from typing import Any

import pytest


def first_of(*values: object, shown: int = 1) -> list[Any]:
    """The first of them always (or so many), the others in the thorough session alone."""
    others = (pytest.param(value, marks=pytest.mark.thorough) for value in values[shown:])
    return [*values[:shown], *others]
