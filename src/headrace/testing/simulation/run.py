"""A client before a simulated vendor, in virtual time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.client import LLMClient
from headrace.core.errors import ConfigError
from headrace.providers.catalog import CLASSES, Catalog
from headrace.testing import numbers
from headrace.testing.clock import EPOCH, VirtualClock, run_virtual
from headrace.testing.simulation.report import Report, one
from headrace.testing.simulation.request import simulated
from headrace.testing.simulation.vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.config import Models
    from headrace.testing.simulation.vendor import Send

_NOWHERE: Final = "http://127.0.0.1:1/v1"


@dataclass(frozen=True, slots=True)
class Simulated:
    """How a simulated run ended: prompts that were answered and that failed."""

    vendor: Vendor
    answered: int
    failed: int

    def report(self, cost: Callable[[Send], float] = one) -> Report:
        """What the vendor saw."""
        return Report(self.vendor.sends, cost)


def simulate(
    vendor: Vendor,
    prompts: Iterable[object],
    *,
    models: Models = "openai/any",
    seconds: float | None = None,
    **options: Any,
) -> Simulated:
    """Push ``prompts`` through a client until they, or virtual ``seconds``, are over.

    ``options`` are those of ``LLMClient`` but for ``request_timeout``, which is the transport's and
    refused here: nothing is sent. Raises what the run raises.
    """
    if not isinstance(vendor, Vendor):
        raise ConfigError("simulate takes a Vendor: simulate(Vendor(Terms(...)), prompts)")
    numbers.check("simulate", seconds=seconds)
    if "request_timeout" in options:
        msg = "a simulated vendor has no transport that could time out; leave request_timeout out"
        raise ConfigError(msg)
    clock = VirtualClock(epoch=EPOCH + vendor.phase)
    options.setdefault("chance", random.Random(7).random)  # noqa: S311 - dice that fall the same each time
    catalog = Catalog(dict.fromkeys(CLASSES, simulated(vendor)))
    options.setdefault("api_key", "simulated")
    options.setdefault("base_url", _NOWHERE)
    client = LLMClient(models, clock=clock, catalog=catalog, **options)

    async def main() -> Simulated:
        answered, failed = await push(client, prompts, seconds)
        return Simulated(vendor, answered, failed)

    return run_virtual(main, clock=clock)


async def push(
    client: LLMClient, prompts: Iterable[object], seconds: float | None = None
) -> tuple[int, int]:
    """How many were answered and failed until they, or so many seconds, were over."""
    counts = {True: 0, False: 0}
    async with client, asyncio.timeout(seconds) as limit:
        try:
            async with client.process_stream(prompts, show_progress=False) as responses:
                async for response in responses:
                    counts[response.is_error] += 1
        except (TimeoutError, asyncio.CancelledError):
            if not limit.expired():
                raise
    return counts[False], counts[True]
