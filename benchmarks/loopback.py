"""Limits again, with real sockets: ``python -m benchmarks.loopback``, as ``benchmarks.limits``.

The vendors of some scenarios answer behind a server on loopback, in hurried time.
"""

from __future__ import annotations

from benchmarks import limits
from benchmarks.scenarios import LOOPBACK

if __name__ == "__main__":
    limits.main(rows=LOOPBACK, mark="loopback", program="python -m benchmarks.loopback")
