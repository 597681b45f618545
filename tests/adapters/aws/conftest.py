"""No credentials of the machine's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from headrace.adapters.aws import profiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with an empty ``.aws``, and no variable of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    profiles.forget()
    return tmp_path / ".aws"
