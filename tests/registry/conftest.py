"""What a test registers is gone after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import headrace
from headrace.providers.catalog import CLASSES
from headrace.registry import endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _registers_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield
    monkeypatch.delenv("HEADRACE_ROWS", raising=False)
    for alias in headrace.list_aliases():
        headrace.unregister_alias(alias)
    for model in headrace.list_models():
        headrace.unregister_model(model.id)
    for row in headrace.list_endpoints():
        if endpoints.known().get(row.name) is not row:
            headrace.unregister_endpoint(row.name)
    for name in headrace.list_providers():
        if name not in CLASSES:
            headrace.unregister_provider(name)
