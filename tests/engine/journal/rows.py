"""The rows that the tests of the journal record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.core.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from headrace.engine.journal import Journal


PATH: Final = Path("run.journal")
REPLY: Final = Reply(200, '{"text":"Grüße\\n\u0000"}'.encode(), {"x-request-id": "r1"})
EXTRAS: Final = {"attempts": 2, "latency": 0.25, "cost_nanos": None}


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def answer(journal: Journal, number: int, reply: Reply | None = REPLY) -> Awaitable[None]:
    return journal.answer(key(number), "r", "m", reply, None, EXTRAS)
