"""What a network does to whole runs: certificates, connections cut, dead addresses, clocks."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import LLMClient, NoRouteError, RequestContext
from headrace.core.errors import OverloadedError, RateLimitError
from headrace.testing import Failure, FakeServer, HurriedClock, Script, run_hurried
from headrace.testing.provider import prompt_of
from tests.scenarios.doors import address_of, server_context, tls_door
from tests.scenarios.outages import now_and_then

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace import APIResponse
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

DAY: Final = 86_400.0
BODY: Final = b"""{"object": "chat.completion", "model": "m", "choices": [{"index": 0,
"message": {"role": "assistant", "content": "the whole answer"}, "finish_reason": "stop"}],
"usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}}"""
NO_LENGTH: Final = b"connection: close"
LENGTH: Final = b"content-length: %d" % len(BODY)
CHUNKED: Final = b"transfer-encoding: chunked"


def head(framing: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%b\r\n\r\n" % framing


def test_an_expired_certificate_stops_the_run_before_anything_is_sent(tmp_path: Path) -> None:
    async def main() -> str:
        async with FakeServer() as server:
            expired = datetime.now(UTC) - timedelta(days=1)
            door, url = await tls_door(server, tmp_path, expired)
            one = LLMClient("openai/m", base_url=url, ca_file=tmp_path / "ca.pem", clock=clock)
            async with one:
                with pytest.raises(NoRouteError) as stopped:
                    await one.process_prompts_async(["a", "b"], show_progress=False)
            door.close()
            assert server.ledger.total == 0
            return str(stopped.value)

    clock = HurriedClock(50)
    sentence = run_hurried(main(), clock)
    assert "has no TLS certificate that is trusted here" in sentence
    assert "expired" in sentence


class Once(asyncio.Protocol):
    """Does ``first`` to its first request, and answers the others well."""

    def __init__(self, asked: list[bytes], first: Callable[[asyncio.Transport], None]) -> None:
        self.asked = asked
        self.first = first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.asked.append(data)
        if len(self.asked) == 1:
            self.first(self.transport)
        else:
            self.transport.write(head(LENGTH) + BODY)

    def eof_received(self) -> bool:
        """Keep a half-closed connection open no longer than the client does."""
        return False


def ask_over(
    first: Callable[[asyncio.Transport], None], folder: Path | None = None, **options: Any
) -> tuple[APIResponse[Any], int]:
    """One prompt's response and how often it was asked; over TLS if there is a folder."""
    asked: list[bytes] = []

    async def main() -> APIResponse[Any]:
        tls = None if folder is None else server_context(folder)
        door = await asyncio.get_running_loop().create_server(
            lambda: Once(asked, first), "127.0.0.1", 0, ssl=tls
        )
        scheme, ca_file = ("http", None) if folder is None else ("https", folder / "ca.pem")
        url = f"{scheme}://127.0.0.1:{address_of(door)[1]}/v1"
        async with LLMClient(
            "openai/m", base_url=url, ca_file=ca_file, clock=clock, **options
        ) as one:
            response = await one.ask("p")
        door.close()
        return response

    clock = HurriedClock(20)
    return run_hurried(main(), clock), len(asked)


def half_of_the_body(framing: bytes) -> bytes:
    size = b"%x\r\n" % len(BODY) if framing is CHUNKED else b""
    return head(framing) + size + BODY[: len(BODY) // 2]


def check_never_taken_for_whole(
    first: Callable[[asyncio.Transport], None], code: str | None, folder: Path | None = None
) -> None:
    """With one attempt the row fails with ``code``; with more it has the whole answer, and soon."""
    if code is not None:
        response, asked = ask_over(first, folder, max_attempts=1)
        assert (response.error and response.error.code, asked) == (code, 1)
        assert response.completion is None
    response, asked = ask_over(first, folder)
    assert (response.completion, response.attempts, asked) == ("the whole answer", 2, 2)
    # It did not wait for the rest until its time was over.
    assert response.latency is not None
    assert response.latency < 300


@pytest.mark.parametrize(
    ("framing", "code"),
    [
        # Its end is the end of the connection, so that only the decoder can see that half is lost.
        (NO_LENGTH, "unreadable_reply"),
        (LENGTH, "outcome_unknown"),
        (CHUNKED, "outcome_unknown"),
    ],
)
@pytest.mark.parametrize("says_so", [False, True], ids=["cut", "close_notify"])
def test_tls_that_ends_in_the_middle_of_a_body(
    tmp_path: Path, framing: bytes, code: str, says_so: bool
) -> None:
    def end(transport: asyncio.Transport) -> None:
        transport.write(half_of_the_body(framing))
        if says_so:
            transport.close()
        else:
            transport.abort()

    check_never_taken_for_whole(end, code, tmp_path)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        # As servers do with idle connections: sent again once, at no cost.
        (b"", None),
        (b"HTTP/1.1 200 OK\r\n", None),
        (head(LENGTH), "outcome_unknown"),
        (head(CHUNKED), "outcome_unknown"),
        (head(NO_LENGTH), "unreadable_reply"),
        (half_of_the_body(LENGTH), "outcome_unknown"),
    ],
    ids=["nothing", "status", "length", "chunked", "no length", "half"],
)
def test_a_server_that_shuts_its_writing_side(said: bytes, code: str) -> None:
    """The connection stays open the other way, until the client closes it."""

    def half_close(transport: asyncio.Transport) -> None:
        transport.write(said)
        transport.write_eof()

    check_never_taken_for_whole(half_close, code)


def addresses_of_localhost() -> set[str]:
    found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return {str(address[0]) for *_, address in found}


@pytest.mark.skipif(
    not addresses_of_localhost() >= {"127.0.0.1", "::1"},
    reason="localhost has not both addresses here, IPv4 and IPv6",
)
@pytest.mark.parametrize("alive", ["127.0.0.1", "::1"])
def test_a_name_with_two_addresses_of_which_one_is_dead(alive: str) -> None:
    async def main() -> None:
        async with FakeServer(host=alive) as server:
            url = f"http://localhost:{server.port}/v1"
            async with LLMClient("openai/m", base_url=url) as one:
                prompts = [f"p{n}" for n in range(20)]
                rows = await one.process_prompts_async(prompts, show_progress=False)
            assert [(row.completion, row.attempts) for row in rows] == [
                (f"echo: {prompt}", 1) for prompt in prompts
            ]
            assert server.ledger.total == 20

    asyncio.run(main())


@pytest.mark.thorough
@pytest.mark.parametrize("jump", [3 * DAY, -3_600.0, -60 * 365 * DAY])
def test_a_jump_of_the_wall_clock_changes_nothing(
    world: type[World], tmp_path: Path, jump: float
) -> None:
    """Sends, back-off, limits, quiet and deadlines are the same to the nanosecond."""
    steady, jumped = (
        of_all_kinds(world, tmp_path / name, by) for name, by in (("steady", 0.0), ("jumped", jump))
    )
    assert steady == jumped
    # It had something to decide: limits, failures, and a deadline that passed.
    moments, rows = steady
    assert moments[-1][0] - moments[0][0] > 60
    assert len(moments) > len(rows)
    assert [code for code, _ in rows if code] == ["deadline"] * 2


def of_all_kinds(
    world: type[World], journal: Path, jump: float
) -> tuple[list[tuple[float, str]], list[tuple[str | None, int]]]:
    """When a run sent what, and what became of it, if the wall clock jumps in its middle."""
    roll = now_and_then(
        0.3,
        Failure(RateLimitError("slow", status=429, hint=2.0), 0.1),
        Failure(OverloadedError("busy", status=503), 0.1),
    )

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        if n == 50:
            sim.clock.epoch += jump
        return 60.0 if prompt_of(context).startswith("late") else roll(context, route, n)

    sim = world(Script(rule), max_requests_per_minute=120, cache="memory", max_attempts=20)
    # With a cache sends are shared, and who shares keeps the time of its own deadline.
    prompts: list[Any] = [f"p{n}" for n in range(400)]
    for place in (1, 380):  # the second is drawn after the jump
        prompts[place] = RequestContext(prompt=f"late {place}", deadline=40.0)
    rows = sim.run(prompts, journal=journal)
    sent = [(call.at, call.prompt) for call in sim.script.calls]
    return sent, [(row.error.code if row.error else None, row.attempts) for row in rows]
