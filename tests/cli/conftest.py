"""What the tests of the command share: a server, an input, an output, and a way to run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from headrace.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer

Run: TypeAlias = Callable[..., int]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Where the input is."""
    return tmp_path / "in.jsonl"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the output will be."""
    return tmp_path / "out.jsonl"


@pytest.fixture
def run(server: FakeServer, source: Path, out: Path) -> Run:
    """``headrace run`` in this process: ``run(rows, *flags)``; without rows the input stays."""
    return _command("run", server, source, out)


@pytest.fixture
def embed(server: FakeServer, source: Path, out: Path) -> Run:
    """``headrace embed``, in the same way."""
    return _command("embed", server, source, out)


def _command(name: str, server: FakeServer, source: Path, out: Path) -> Run:
    def go(rows: object = None, *flags: str) -> int:
        if isinstance(rows, list):
            source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        place = ["--base-url", server.base_url]
        return main([name, str(source), "-m", "openai/fake", "-o", str(out), *place, *flags])

    return go
