"""Scenarios of limits in virtual time, each with its aims; ``ALL`` holds them."""

from __future__ import annotations

from typing import Final

from benchmarks.scenarios.changing import CHANGING
from benchmarks.scenarios.found import FINDING
from benchmarks.scenarios.known import KNOWN
from benchmarks.scenarios.scenario import Figures, Scenario
from benchmarks.scenarios.told import TOLD
from benchmarks.scenarios.trouble import TROUBLE

__all__ = ["ALL", "Figures", "Scenario"]

ALL: Final[tuple[Scenario, ...]] = (*KNOWN, *TOLD, *FINDING, *CHANGING, *TROUBLE)
