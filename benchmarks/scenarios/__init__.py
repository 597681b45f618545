"""Scenarios of limits in virtual time; ``ALL`` of them have an aim and figures."""

from __future__ import annotations

from typing import Final

from benchmarks.scenarios.known import KNOWN
from benchmarks.scenarios.scenario import Figures, Scenario

__all__ = ["ALL", "Figures", "Scenario"]

ALL: Final[tuple[Scenario, ...]] = KNOWN
