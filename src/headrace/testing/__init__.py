"""Fakes that ship: virtual time, a scripted provider at the seam, a real server that misbehaves."""

from __future__ import annotations

from headrace.testing import faults, plans
from headrace.testing.clock import (
    DeadlockError,
    LeftBehindError,
    VirtualClock,
    VirtualLoop,
    run_virtual,
    running_clock,
)
from headrace.testing.provider import Answer, Call, Failure, Script, scripted
from headrace.testing.seen import RequestSeen
from headrace.testing.server import FakeServer

__all__ = [
    "Answer",
    "Call",
    "DeadlockError",
    "Failure",
    "FakeServer",
    "LeftBehindError",
    "RequestSeen",
    "Script",
    "VirtualClock",
    "VirtualLoop",
    "faults",
    "plans",
    "run_virtual",
    "running_clock",
    "scripted",
]
