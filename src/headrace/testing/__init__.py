"""Fakes that ship: virtual time, a scripted provider at the seam, a real server that misbehaves."""

from __future__ import annotations

from headrace.testing import faults, plans, stream_faults
from headrace.testing.clock import (
    DeadlockError,
    LeftBehindError,
    VirtualClock,
    VirtualLoop,
    run_virtual,
    running_clock,
)
from headrace.testing.conformance import ConformanceError, check_provider
from headrace.testing.disk import FaultyDisk
from headrace.testing.hurry import HurriedClock, run_hurried
from headrace.testing.provider import Answer, Call, Failure, Script, scripted
from headrace.testing.seen import RequestSeen
from headrace.testing.server import FakeServer, vector_of

__all__ = [
    "Answer",
    "Call",
    "ConformanceError",
    "DeadlockError",
    "Failure",
    "FakeServer",
    "FaultyDisk",
    "HurriedClock",
    "LeftBehindError",
    "RequestSeen",
    "Script",
    "VirtualClock",
    "VirtualLoop",
    "check_provider",
    "faults",
    "plans",
    "run_hurried",
    "run_virtual",
    "running_clock",
    "scripted",
    "stream_faults",
    "vector_of",
]
