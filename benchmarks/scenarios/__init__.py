"""What is measured of limits, each with its aims: scenarios in virtual time, and admission.

``LOOPBACK``: some of them again, with real sockets.
"""

from __future__ import annotations

from typing import Final

from benchmarks.scenarios.admitting import ADMITTING
from benchmarks.scenarios.changing import CHANGING
from benchmarks.scenarios.found import FINDING
from benchmarks.scenarios.hedging import HEDGING
from benchmarks.scenarios.known import KNOWN
from benchmarks.scenarios.loopback import LOOPBACK
from benchmarks.scenarios.scenario import Figures, Measured, Scenario
from benchmarks.scenarios.told import TOLD
from benchmarks.scenarios.trouble import TROUBLE
from benchmarks.scenarios.unlimited import UNLIMITED

__all__ = ["ADMITTING", "ALL", "LOOPBACK", "SCENARIOS", "Figures", "Measured", "Scenario"]

SCENARIOS: Final[tuple[Scenario, ...]] = (
    *KNOWN,
    *TOLD,
    *FINDING,
    *UNLIMITED,
    *CHANGING,
    *TROUBLE,
    *HEDGING,
)
ALL: Final[tuple[Measured, ...]] = (*SCENARIOS, *ADMITTING)
