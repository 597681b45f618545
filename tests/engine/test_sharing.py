"""One send for identical requests: it belongs to nobody, and ends when nobody asks any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters.http import Transport
from headrace.core.errors import OverloadedError
from headrace.core.response import APIResponse
from headrace.engine.loops import LoopScope
from headrace.engine.sharing import join
from headrace.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from headrace.engine.leaving import WriteOff


class Provider:
    """Answers after ten seconds, and counts what began, ended and was cancelled."""

    def __init__(self, error: Exception | None = None) -> None:
        self.scope = LoopScope(Transport, lambda: None)
        self.error = error
        self.begun = self.answered = self.cancelled = 0

    async def send(self, write_off: WriteOff) -> APIResponse[object]:
        self.begun += 1
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            # Whatever a send holds is put in order before its last asker goes on.
            await asyncio.sleep(1)
            self.cancelled += 1
            write_off(APIResponse(attempts=self.begun))
            raise
        if self.error is not None:
            raise self.error
        self.answered += 1
        return APIResponse(completion=str(self.begun))

    def ask(self, key: str = "a") -> Coroutine[object, object, tuple[Any, bool]]:
        return join(self.scope, key, self.send).answer()


def test_many_askers_share_one_send_and_one_of_them_sent() -> None:
    async def main() -> None:
        provider = Provider()
        answers = await asyncio.gather(*(provider.ask() for _ in range(100)))
        assert {response.completion for response, _ in answers} == {"1"}
        assert [first for _, first in answers] == [True] + [False] * 99
        assert (provider.begun, provider.scope.flights) == (1, {})

    run_virtual(main)


def test_different_requests_do_not_share() -> None:
    async def main() -> None:
        provider = Provider()
        answers = await asyncio.gather(provider.ask("a"), provider.ask("b"))
        assert [first for _, first in answers] == [True, True]
        assert provider.begun == 2

    run_virtual(main)


def test_what_has_landed_is_not_shared() -> None:
    async def main() -> None:
        provider = Provider()
        assert (await provider.ask())[1]
        assert (await provider.ask())[1]
        assert provider.begun == 2

    run_virtual(main)


def test_the_first_asker_may_leave() -> None:
    async def main() -> None:
        provider = Provider()
        first = asyncio.create_task(provider.ask())
        others = [asyncio.create_task(provider.ask()) for _ in range(3)]
        await asyncio.sleep(5)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        answers = await asyncio.gather(*others)
        # Whose send it is counted as is decided by who is left.
        assert [(r.completion, sent) for r, sent in answers] == [("1", True)] + [("1", False)] * 2
        assert (provider.begun, provider.cancelled, provider.scope.flights) == (1, 0, {})

    run_virtual(main)


def test_when_the_last_asker_leaves_the_send_is_cancelled_and_awaited() -> None:
    async def main() -> None:
        provider = Provider()
        askers = [asyncio.create_task(provider.ask()) for _ in range(3)]
        for asker in askers:
            await asyncio.sleep(1)
            assert provider.cancelled == 0
            asker.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asker
        assert (provider.begun, provider.cancelled, provider.scope.flights) == (1, 1, {})
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def test_who_asks_while_a_send_is_being_cancelled_gets_a_new_one() -> None:
    async def main() -> None:
        provider = Provider()
        leaving = asyncio.create_task(provider.ask())
        await asyncio.sleep(1)
        leaving.cancel()
        await asyncio.sleep(0.5)
        answer, first = await provider.ask()
        assert (answer.completion, first) == ("2", True)
        assert (provider.begun, provider.cancelled, leaving.cancelled()) == (2, 1, True)
        assert provider.scope.flights == {}

    run_virtual(main)


def test_an_error_is_shared() -> None:
    async def main() -> None:
        error = OverloadedError("busy")
        provider = Provider(error)
        ends = await asyncio.gather(*(provider.ask() for _ in range(5)))
        assert ends == [(error, True)] + [(error, False)] * 4
        assert (provider.begun, provider.scope.flights) == (1, {})

    run_virtual(main)


def test_a_send_that_is_cancelled_from_elsewhere_leaves_nothing() -> None:
    async def main() -> None:
        provider = Provider()
        asker = asyncio.create_task(provider.ask())
        await asyncio.sleep(1)
        provider.scope.flights["a"].send.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asker
        assert provider.scope.flights == {}

    run_virtual(main)


def test_what_was_spent_in_vain_is_settled_once() -> None:
    async def main() -> None:
        provider = Provider()
        flight = join(provider.scope, "a", provider.send)
        spent: list[int] = []
        asker = asyncio.create_task(flight.answer())
        await asyncio.sleep(1)
        flight.settle(lambda response: spent.append(response.attempts))
        assert spent == []
        asker.cancel()
        await asyncio.wait({asker})
        for _ in range(2):
            flight.settle(lambda response: spent.append(response.attempts))
        assert spent == [1]

    run_virtual(main)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=15))
def test_whoever_has_the_patience_is_answered(plan: list[tuple[int, int]]) -> None:
    async def asker(provider: Provider, start: int, patience: int) -> bool:
        await asyncio.sleep(start)
        try:
            async with asyncio.timeout(patience + 0.5):
                await provider.ask()
        except TimeoutError:
            return False
        return True

    async def main() -> None:
        provider = Provider()
        served = await asyncio.gather(*(asker(provider, *each) for each in plan))
        assert all(served[i] for i, (_, patience) in enumerate(plan) if patience >= 10)
        assert provider.answered + provider.cancelled == provider.begun
        assert provider.scope.flights == {}

    run_virtual(main)
