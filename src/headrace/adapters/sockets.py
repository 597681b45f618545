"""How many connections this process may have open at once: each is a file to the system."""

from __future__ import annotations

import sys
from typing import Final

# For journals, caches, standard streams and what else the program has open.
OTHERS: Final = 64
# Where a system does not say, and the least to try with.
USUAL: Final = 512
LEAST: Final = 64


def most() -> int:
    """As ``ulimit -n`` says, less what others need."""
    if sys.platform == "win32":
        return USUAL
    import resource  # noqa: PLC0415  only where there is one

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else max(soft - OTHERS, LEAST)
