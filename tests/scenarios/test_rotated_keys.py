"""A key that is replaced in the environment while a request is on its way closes no route."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest

from headrace import Endpoint, LLMClient, register_endpoint, unregister_endpoint
from headrace.testing import FakeServer, HurriedClock, faults, plans
from headrace.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.testing.server import Turn

OLD, NEW = "sk-old-0123456789abcdef", "sk-new-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Rotation(Fault):
    """Refuses the key that has just been replaced."""

    status: int

    async def play(self, turn: Turn) -> None:
        os.environ["ROTATED_KEY"] = NEW
        turn.respond(turn.error(self.status))


@pytest.fixture
def _rotated() -> Iterator[None]:
    os.environ["ROTATED_KEY"] = OLD
    yield
    del os.environ["ROTATED_KEY"]
    unregister_endpoint("rotated")


@pytest.mark.usefixtures("_rotated")
@pytest.mark.parametrize("auth", ["bearer", "x-api-key"])
@pytest.mark.parametrize("status", [401, 403])
def test_the_new_key_is_tried(auth: Literal["bearer", "x-api-key"], status: int) -> None:
    async def main() -> None:
        name = "authorization" if auth == "bearer" else auth
        plan: dict[str, list[Fault]] = {"hi": [Rotation(status)], "ho": [faults.Status(status)]}
        async with FakeServer(faults=plans.per_prompt(plan)) as server:
            row = Endpoint(
                name="rotated",
                wire="openai_chat",
                base_url=server.base_url,
                key_env=("ROTATED_KEY",),
                auth=auth,
            )
            register_endpoint(row)
            async with LLMClient("rotated/m", max_attempts=1, clock=HurriedClock()) as client:
                response = await client.ask("hi")
                assert response.completion == "echo: hi"
                assert [seen.headers[name][-23:] for seen in server.received] == [OLD, NEW]
                refused = await client.ask("ho")  # with the key that holds
                assert refused.error is not None
                assert refused.error.code == "no_route"

    asyncio.run(main())
