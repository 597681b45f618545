"""What goes over the wire is pure: it is the same on every interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One interpreter is enough."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.once)
