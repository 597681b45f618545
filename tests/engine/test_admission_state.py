"""Admission as a state machine: the real client, one turn of the loop after another."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace import LLMClient, Model, RequestContext
from headrace.core.errors import (
    OverloadedError,
    RateLimitError,
)
from headrace.core.response import APIResponse
from headrace.providers.base import ProviderRequest
from headrace.providers.catalog import Catalog
from headrace.testing import VirtualClock, VirtualLoop
from tests.clients import NOWHERE, check_nothing_is_held

pytestmark = pytest.mark.once

SLOTS: Final = 3


class Held(ProviderRequest):
    """Each send waits for the machine's word."""

    __slots__ = ()
    flights: list[tuple[str, asyncio.Future[None]]]

    async def execute_once(self) -> APIResponse[object]:
        word: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        flight = (str(self.context.id), word)
        self.flights.append(flight)
        try:
            await word
        finally:
            self.flights.remove(flight)
        return APIResponse(completion="done", model="m")


class Everything(RuleBasedStateMachine):
    """Asks, answers, failures, cancellations and time in any order; the oracle is a list."""

    options: ClassVar[dict[str, Any]] = {"models": "openai/m", "max_concurrent_requests": SLOTS}

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.loop = VirtualLoop(self.clock)
        self.flights: list[tuple[str, asyncio.Future[None]]] = []
        self.provider = type("Word", (Held,), {"flights": self.flights, "__slots__": ()})
        self.client = LLMClient(
            base_url=NOWHERE,
            clock=self.clock,
            catalog=Catalog({"openai_chat": self.provider}),
            max_attempts=1_000,
            patience=1e9,
            chance=lambda: 0.5,
            **self.options,
        )
        self.asks: dict[str, asyncio.Task[APIResponse[Any]]] = {}
        self.turns = 0
        self.first_sends: dict[str, int] = {}
        self.cancelled: set[str] = set()

    def turn(self, turns: int = 1) -> None:
        """Single turns of the loop, without moving time."""
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            self.turns += 1
            for name, _ in self.flights:
                self.first_sends.setdefault(name, self.turns)

    @rule(count=st.integers(1, 4), deadline=st.sampled_from([None, None, None, 2.0]))
    def ask(self, count: int, deadline: float | None) -> None:
        for _ in range(count):
            name = str(len(self.asks))
            row = RequestContext(prompt=f"p{name}", id=name, deadline=deadline)
            self.asks[name] = self.loop.create_task(self.client.process_single_request(row))

    @rule(turns=st.integers(1, 6))
    def go_on(self, turns: int) -> None:
        self.turn(turns)

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        _, word = data.draw(st.sampled_from(self.flights))
        if not word.done():
            word.set_result(None)

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), limited=st.booleans())
    def fail(self, data: st.DataObject, limited: bool) -> None:
        _, word = data.draw(st.sampled_from(self.flights))
        if not word.done():
            busy = OverloadedError("busy", status=503)
            slow = RateLimitError("slow", status=429, hint=1.0)
            word.set_exception(slow if limited else busy)

    @precondition(lambda self: self.asks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.asks)))
        if self.asks[name].cancel():
            self.cancelled.add(name)

    @rule(seconds=st.sampled_from([0.1, 1.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.turn()

    @invariant()
    def slots_are_kept(self) -> None:
        assert len(self.flights) <= SLOTS

    def teardown(self) -> None:
        """Answer all that comes, and see that nobody is lost and nothing is held."""
        for _ in range(10_000):
            if all(ask.done() for ask in self.asks.values()):
                break
            for _, word in self.flights:
                if not word.done():
                    word.set_result(None)
            self.wait(1.0)
        try:
            self.check_the_end()
        finally:
            self.loop.run_until_complete(self.client.aclose())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def check_the_end(self) -> None:
        for name, ask in self.asks.items():
            assert ask.done()
            if ask.cancelled():
                assert name in self.cancelled
            elif (error := ask.result().error) is not None:
                assert error.code == "deadline"
            else:
                assert ask.result().completion == "done"
        check_nothing_is_held(self.client)
        if not self.flights:
            self.check_the_order()

    def check_the_order(self) -> None:
        """Nobody is sent after somebody who asked later; to wake up takes one turn of the loop."""
        latest = 0
        for _, turn in sorted((int(name), turn) for name, turn in self.first_sends.items()):
            assert turn >= latest - 1
            latest = max(latest, turn)


class OneAccount(Everything):
    """The same with two keys, whose slots are those of their account."""

    options: ClassVar[dict[str, Any]] = {
        "models": Model(id="openai/m", account="ours", max_concurrent_requests=SLOTS),
        "api_key": ["sk-one", "sk-two"],
    }


Everything.TestCase.settings = settings(stateful_step_count=40)
OneAccount.TestCase.settings = settings(stateful_step_count=40)
TestEverything = Everything.TestCase
TestOneAccount = OneAccount.TestCase
