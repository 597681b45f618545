"""One client at a real server: in scripts, threads, running loops, one after the other."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from headrace import APIResponse, ConfigError, LLMClient
from tests.clients import quiet

if TYPE_CHECKING:
    from headrace.testing import FakeServer


def real(server: FakeServer, **options: Any) -> LLMClient:
    return LLMClient("openai/fake", base_url=server.base_url, **options)


def test_the_sync_verbs_in_a_script(server: FakeServer) -> None:
    client = real(server)
    rows = client.process_prompts_sync(["p", "q"], show_progress=False)
    assert [row.completion for row in rows] == ["echo: p", "echo: q"]
    assert client.ask_sync("r").completion == "echo: r"
    client.close()
    assert client.ask_sync("again").completion == "echo: again"
    client.close()


def test_the_sync_verbs_inside_a_running_loop(server: FakeServer) -> None:
    client = real(server)

    async def cell() -> list[str | None]:
        rows = client.process_prompts_sync(["p"], show_progress=False)
        one = client.ask_sync("q")
        other = await client.ask("r")
        await client.aclose()
        return [rows[0].completion, one.completion, other.completion]

    assert asyncio.run(cell()) == ["echo: p", "echo: q", "echo: r"]


def test_threads_share_one_client(server: FakeServer) -> None:
    client = real(server, max_concurrent_requests=4)
    found: list[int] = []

    def work(name: int) -> None:
        prompts = [f"{name}/{n}" for n in range(50)]
        rows = client.process_prompts_sync(prompts, show_progress=False)
        found.append(
            sum(row.completion == f"echo: {p}" for p, row in zip(prompts, rows, strict=True))
        )

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert found == [50] * 4


def test_one_loop_after_the_other(server: FakeServer) -> None:
    client = real(server)
    for turn in range(3):
        rows = asyncio.run(quiet(client, [f"p{turn}"] * 3))
        assert len(rows.succeeded) == 3


def test_a_thread_beside_its_loop_shares_one_limit(server: FakeServer) -> None:
    client = real(server, max_concurrent_requests=2)
    server.latency = 0.01
    server.max_concurrent = 2

    async def main() -> list[int]:
        beside = asyncio.to_thread(client.process_prompts_sync, ["t"] * 40, show_progress=False)
        here = quiet(client, ["h"] * 40)
        both = await asyncio.gather(beside, here)
        await client.aclose()
        return [len(rows.succeeded) for rows in both]

    assert asyncio.run(main()) == [40, 40]
    assert not server.throttled


def test_loops_one_after_the_other_and_beside_each_other_keep_one_rate(server: FakeServer) -> None:
    client = real(server, max_requests_per_minute=1_800)
    began = time.monotonic()
    asyncio.run(quiet(client, ["a"] * 10))

    async def main() -> None:
        beside = asyncio.to_thread(client.process_prompts_sync, ["t"] * 10, show_progress=False)
        await asyncio.gather(beside, quiet(client, ["h"] * 10))
        await client.aclose()

    asyncio.run(main())
    assert len(server.received) == 30
    # 30 a second with a burst of three; in two buckets the last would come after half the time.
    assert server.received[-1].at - began >= 0.95 * (30 - 3) / 30


def test_a_sync_verb_does_not_wait_for_the_loop_that_it_holds_up(server: FakeServer) -> None:
    """The requests under way there could not end meanwhile, nor give back what they hold."""

    async def cell() -> str | None:
        async with real(server, max_concurrent_requests=1) as client:
            under_way = asyncio.create_task(client.ask("p"))
            await asyncio.sleep(0)
            with pytest.raises(ConfigError, match="await the async form"):
                client.ask_sync("q")
            with pytest.raises(ConfigError, match="await the async form"):
                client.process_prompts_sync(["q"], show_progress=False)
            await under_way
            return client.ask_sync("r").completion

    assert asyncio.run(cell()) == "echo: r"


def test_a_callback_that_would_wait_for_its_own_run_is_told(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> str | None:
        async with real(server, max_concurrent_requests=1) as client:

            def ask_again(_: APIResponse[Any]) -> None:
                client.ask_sync("q")

            rows = await client.process_prompts_async(
                ["p"], show_progress=False, on_response=ask_again
            )
            return rows[0].completion

    assert asyncio.run(main()) == "echo: p"
    assert "await the async form" in caplog.text


def test_a_client_is_closed_at_the_end_of_a_block_also_inside_a_loop(server: FakeServer) -> None:
    def script() -> str | None:
        with real(server) as client:
            return client.ask_sync("p").completion

    async def cell() -> str | None:
        return script()

    before = threading.active_count()
    assert script() == asyncio.run(cell()) == "echo: p"
    assert threading.active_count() == before


def test_closing_twice_and_using_again(server: FakeServer) -> None:
    async def main() -> str | None:
        client = real(server)
        async with client:
            await client.ask("p")
        await client.aclose()
        async with client:
            return (await client.ask("q")).completion

    assert asyncio.run(main()) == "echo: q"
