"""A prompt that names a file which has expired is that prompt's error, and nothing else's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson
import pytest

from headrace import LLMClient
from headrace.testing import FakeServer, plans
from headrace.testing.faults import Fault

if TYPE_CHECKING:
    from headrace.testing.server import Turn


@dataclass(frozen=True, slots=True)
class Missing(Fault):
    """Refuses with a status that is mostly the route's, and says what is missing."""

    status: int
    said: str
    code: str = "rejected"

    async def play(self, turn: Turn) -> None:
        body = orjson.dumps({"error": {"code": self.status, "message": self.said}})
        turn.respond(replace(turn.error(self.status), body=body))


@pytest.mark.parametrize(
    "fault",
    [
        Missing(403, "You do not have permission to access the File x or it may not exist."),
        Missing(404, "No endpoints found that support image input", "not_taken"),
        Missing(404, "Item with id 'rs_1' not found."),
    ],
    ids=lambda fault: fault.said[:20],
)
def test_the_others_are_answered(fault: Missing) -> None:
    async def main() -> None:
        async with (
            FakeServer(faults=plans.per_prompt({"bad": [fault] * 9})) as server,
            LLMClient("openai/m", base_url=server.base_url, max_concurrent_requests=1) as client,
        ):
            prompts = ["a", "bad", "b", "c"]
            rows = await client.process_prompts_async(prompts, show_progress=False)
            assert [row.completion for row in rows] == ["echo: a", None, "echo: b", "echo: c"]
            assert rows[1].error is not None
            assert rows[1].error.code == fault.code
            assert server.counts["bad"] == 1

    asyncio.run(main())
