"""A stand-in for the library of the local model: a real process, with a fake server in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from headrace.adapters.local import shared
from headrace.adapters.weights import SMOLLM2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

# Stands where xllamacpp is imported from; the test says what its Server does with a request.
LIBRARY: Final = """
import os
from types import SimpleNamespace
from headrace.testing import FakeServer, faults

def CommonParams():
    return SimpleNamespace(
        model=SimpleNamespace(), cpuparams=SimpleNamespace(), sampling=SimpleNamespace()
    )

{does}

def Server(params):
    place = FakeServer.in_thread(answer=answer, faults=plan)
    return SimpleNamespace(place=place, listening_address=place.__enter__().anthropic_url)
"""


@contextmanager
def stand_in(folder: Path, patch: pytest.MonkeyPatch, does: str) -> Iterator[None]:
    """Within, ``local/smollm2`` is a server with the ``answer`` and ``plan`` of ``does``."""
    (folder / "xllamacpp.py").write_text(LIBRARY.format(does=does), encoding="utf-8")
    patch.syspath_prepend(folder)
    patch.setenv("HEADRACE_HOME", str(folder))
    weights = folder / "weights" / SMOLLM2.file
    weights.parent.mkdir()
    with weights.open("wb") as file:
        file.truncate(SMOLLM2.size)
    shared().close()
    try:
        yield
    finally:
        shared().close()
