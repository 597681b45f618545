"""Vendors in virtual time: limits, latency, outages, and what an engine makes of them.

``simulate(Vendor(Terms(requests_per_minute=600)), prompts)`` runs ten minutes in seconds, and the
same way each time.
"""

from __future__ import annotations

from headrace.testing.simulation.report import Report, declared, one, used
from headrace.testing.simulation.request import simulated
from headrace.testing.simulation.run import Simulated, simulate
from headrace.testing.simulation.served import served
from headrace.testing.simulation.vendor import Send, Terms, Vendor

__all__ = [
    "Report",
    "Send",
    "Simulated",
    "Terms",
    "Vendor",
    "declared",
    "one",
    "served",
    "simulate",
    "simulated",
    "used",
]
