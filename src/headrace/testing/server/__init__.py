"""A real HTTP server on loopback that can be told to misbehave; ``python -m`` this to run it."""

from __future__ import annotations

from headrace.testing.server.app import FakeServer, Options, echo
from headrace.testing.server.connection import Turn
from headrace.testing.server.dialects.embeddings import vector_of

__all__ = ["FakeServer", "Options", "Turn", "echo", "vector_of"]
