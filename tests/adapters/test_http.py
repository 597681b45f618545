"""The HTTP door: one exchange, once; what goes wrong has a name, and nothing is left open."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson
import pytest

from headrace.adapters.http import MAX_BODY, HttpExchange, Transport, transport
from headrace.core.errors import (
    GoneError,
    HeldBackError,
    OutcomeUnknownError,
    ProviderError,
    ReplyError,
)
from headrace.core.model import Endpoint, KeySource, Model, Route
from headrace.core.secret import Secret
from headrace.testing import FakeServer, faults, plans

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from headrace.core.reply import Reply
    from headrace.testing.faults import Fault
    from headrace.testing.plans import Plan
    from headrace.testing.server import Turn

PATH: Final = "/chat/completions"
KEY: Final = "sk-CANARY-http-0123456789"
BODY: Final = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
LARGE: Final = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 99_000}]})


class Gate:
    """A gate that the test shuts, and that remembers what it heard."""

    def __init__(self) -> None:
        self.shut = False
        self.heard: list[tuple[int, Mapping[str, str]]] = []

    def is_shut(self) -> bool:
        return self.shut

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        self.heard.append((status, headers))


def route(base_url: str, auth: str = "bearer", key: str = KEY) -> Route:
    endpoint = Endpoint.model_validate({"name": "e", "wire": "openai_chat", "auth": auth})
    return Route(Model(id="e/m"), endpoint, base_url, KeySource(secret=Secret(key)))


class Way:
    """A transport and a route to one server."""

    def __init__(self, transport: Transport, there: Route) -> None:
        self.transport = transport
        self.route = there
        self.gate = Gate()

    async def post(self, body: bytes = BODY, *, seconds: float = 20.0) -> Reply:
        return await self.transport.send(
            self.route, "POST", PATH, body, (), timeout=seconds, gate=self.gate
        )

    async def fails(self, body: bytes = BODY, *, seconds: float = 20.0) -> ProviderError:
        with pytest.raises(ProviderError) as failed:
            await self.post(body, seconds=seconds)
        return failed.value


@asynccontextmanager
async def way(base_url: str, *, auth: str = "bearer") -> AsyncIterator[Way]:
    transport = Transport()
    try:
        yield Way(transport, route(base_url, auth))
    finally:
        await transport.aclose()


@asynccontextmanager
async def served(
    plan: Plan | None = None, auth: str = "bearer"
) -> AsyncIterator[tuple[FakeServer, Way]]:
    async with FakeServer(faults=plan) as server, way(server.base_url, auth=auth) as there:
        yield server, there


def meet(fault: Fault, *, seconds: float = 20.0) -> tuple[ProviderError, FakeServer]:
    """The error that one exchange ends with, and the server once it is at rest."""

    async def main() -> tuple[ProviderError, FakeServer]:
        async with served(plans.Sequence([fault])) as (server, there):
            return await there.fails(seconds=seconds), server

    return asyncio.run(main())


async def at_rest(server: FakeServer, connections: int) -> None:
    """Until so many connections are open and nothing is being answered."""
    for _ in range(2000):
        if server.ledger.connections == connections and not server.ledger.in_flight:
            return
        await asyncio.sleep(0.001)
    assert (server.ledger.connections, server.ledger.in_flight) == (connections, 0)


# One exchange.


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_what_is_sent_and_what_comes_back(body: bytes) -> None:
    async def main() -> None:
        async with served() as (server, there):
            reply = await there.post(body)
            assert reply.status == 200
            assert orjson.loads(reply.body)["object"] == "chat.completion"
            assert reply.headers["content-type"] == "application/json"
            assert reply.headers["x-request-id"].startswith("req_")
            assert "content-length" not in reply.headers
            [seen] = server.received
            assert (seen.body, seen.key, seen.path) == (body, KEY, "/v1/chat/completions")
            assert seen.headers["content-type"] == "application/json"
            assert seen.headers["user-agent"] == "headrace"
            assert "cookie" not in seen.headers
            assert there.gate.heard == []

    asyncio.run(main())


def test_a_key_goes_where_the_endpoint_takes_it() -> None:
    async def main() -> list[Mapping[str, str]]:
        async with FakeServer() as server:
            for auth in ("bearer", "x-api-key", "none"):
                async with way(server.base_url, auth=auth) as there:
                    await there.post()
            return [seen.headers for seen in server.received]

    bearer, header, none = asyncio.run(main())
    assert (bearer["authorization"], bearer.get("x-api-key")) == (f"Bearer {KEY}", None)
    assert (header["x-api-key"], header.get("authorization")) == (KEY, None)
    assert KEY not in str(none)


def test_a_key_is_read_anew_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> list[str | None]:
        async with served() as (server, there):
            there.route = replace(there.route, key=KeySource(env=("HEADRACE_TEST_KEY",)))
            for key in ("first", "second"):
                monkeypatch.setenv("HEADRACE_TEST_KEY", key)
                await there.post()
            for broken in (None, "with\nnewline", " "):
                monkeypatch.delenv("HEADRACE_TEST_KEY", raising=False)
                if broken is not None:
                    monkeypatch.setenv("HEADRACE_TEST_KEY", broken)
                assert isinstance(await there.fails(), GoneError)
            return [seen.key for seen in server.received]

    assert asyncio.run(main()) == ["first", "second"]


@pytest.mark.parametrize(
    ("key", "said"),
    [("sk-0123456789abcdef", "key ********, yes ********"), ("local", "key local, yes local")],
)
def test_a_key_that_a_server_quotes_is_hidden_but_no_word_of_an_answer(key: str, said: str) -> None:
    async def main() -> None:
        quoted = f"key {key}, yes {key}"
        fault = faults.Status(400, quoted, {"retry-after": quoted})
        async with served(plans.Sequence([faults.Body(quoted.encode()), fault])) as (_, there):
            there.route = replace(there.route, key=KeySource(secret=Secret(key)))
            answer, refusal = await there.post(), await there.post()
            assert (answer.body.decode(), refusal.body.decode()) == (said, said)
            assert refusal.headers["retry-after"] == said
            assert there.gate.heard[0][1]["retry-after"] == said

    asyncio.run(main())


def test_connections_are_used_again_and_cookies_are_not_kept() -> None:
    async def main() -> None:
        fault = faults.Body(b"{}", headers={"set-cookie": "session=1"})
        async with served(lambda _: fault) as (server, there):
            for _ in range(5):
                await there.post()
            await asyncio.gather(*[there.post() for _ in range(3)])
            assert server.ledger.connections_total == 3
            assert all("cookie" not in seen.headers for seen in server.received)

    asyncio.run(main())


def test_a_server_that_closes_after_its_answer_costs_nothing() -> None:
    async def main() -> None:
        async with served(lambda _: faults.CloseAfter()) as (server, there):
            for _ in range(20):
                assert (await there.post()).status == 200
                await at_rest(server, 0)
                for _ in range(5):  # the end of the connection is read some turns after the body
                    await asyncio.sleep(0)
            assert server.ledger.connections_total == 20

    asyncio.run(main())


def test_an_exchange_opens_its_transport_when_it_posts() -> None:
    async def main() -> None:
        async with served() as (server, there):
            exchange = HttpExchange(lambda: there.transport, there.route, 20.0, there.gate)
            assert server.ledger.connections_total == 0
            assert (await exchange.post(PATH, BODY)).status == 200
            assert (await exchange.post(PATH, BODY, (("x-more", "1"),))).status == 200
            assert server.received[1].headers["x-more"] == "1"

    asyncio.run(main())


def test_header_names_that_a_server_makes_up_fill_no_memory() -> None:
    async def main() -> None:
        async with served() as (server, there):
            for n in range(12):
                names = {f"x-{n}-{m}": "1" for m in range(100)} | {f"x-ratelimit-{n}": "7"}
                server.faults = plans.Sequence([None] * n + [faults.Body(b"", headers=names)])
                kept = (await there.post(seconds=20 + n)).headers
                assert [name for name in kept if name.startswith("x-r")][-1] == f"x-ratelimit-{n}"
                assert f"x-{n}-0" not in kept
            assert len(transport._names) <= 1000  # noqa: SLF001 - a bound that nobody sees otherwise

    asyncio.run(main())


def test_time_outs_of_any_number_may_be_asked_for() -> None:
    async def main() -> None:
        async with served() as (_, there):
            for n in range(100):
                assert (await there.post(seconds=10 + n / 7)).status == 200

    asyncio.run(main())


# Never on its own account.


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("auth", ["bearer", "x-api-key"])
def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(code: int, auth: str) -> None:
    async def main() -> None:
        async with FakeServer() as elsewhere:
            fault = faults.Redirect(f"{elsewhere.base_url}{PATH}", code)
            async with served(lambda _: fault, auth=auth) as (server, there):
                assert (await there.post()).status == code
                assert server.ledger.total == 1
            assert elsewhere.ledger.connections_total == 0

    asyncio.run(main())


def test_the_head_of_a_refusal_is_heard_before_its_body() -> None:
    async def main() -> None:
        heard: list[int] = []

        class Slow(faults.Fault):
            async def play(self, turn: Turn) -> None:
                refusal = replace(turn.error(429), headers=(("retry-after", "3"),))
                turn.start(refusal, (("content-length", str(len(refusal.body))),))
                while not there.gate.heard:  # noqa: ASYNC110 - until the client has read the head
                    await asyncio.sleep(0)
                heard.append(len(there.gate.heard))
                await turn.write(refusal.body)

        async with served(lambda _: Slow()) as (_, there):
            assert (await there.post()).status == 429
            [(status, headers)] = there.gate.heard
            assert (status, headers["retry-after"], heard) == (429, "3", [1])

    asyncio.run(main())


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("used_before", [False, True])
def test_nothing_is_written_when_the_gate_shuts_while_the_connection_is_made(
    body: bytes, used_before: bool
) -> None:
    async def main() -> None:
        async with served() as (server, there):
            if used_before:
                await there.post()
            there.gate.shut = used_before
            sending = asyncio.ensure_future(there.fails(body))
            await asyncio.sleep(0)
            there.gate.shut = True
            assert isinstance(await sending, HeldBackError)
            await at_rest(server, 0)
            assert server.ledger.total == used_before
            there.gate.shut = False
            assert (await there.post(body)).status == 200

    asyncio.run(main())


# What goes wrong.


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (faults.DropBefore(), "closed the connection without a reply"),
        (faults.Reset(), "closed the connection without a reply"),
        (faults.DropWithin(), "broke off or was garbled; the request may have been charged"),
        (faults.Reset(within=True), "broke off or was garbled; the request may have been charged"),
        (faults.BadChunk(), "broke off or was garbled|sent something that is not HTTP"),
        (faults.Raw(b"SSH-2.0-server\r\n"), "sent something that is not HTTP: Bad status line"),
    ],
)
def test_a_reply_without_an_end(fault: Fault, sentence: str) -> None:
    error, server = meet(fault)
    assert isinstance(error, OutcomeUnknownError)
    assert server.ledger.total == 1
    with pytest.raises(OutcomeUnknownError, match=sentence):
        raise error


@pytest.mark.parametrize(
    "fault",
    [faults.Stall(), faults.Stall(within=True), faults.Drip(0.05), faults.Drip(0.05, "header")],
)
def test_a_reply_that_takes_too_long(fault: Fault) -> None:
    async def main() -> None:
        async with served(plans.Sequence([None, fault])) as (server, there):
            # The connection is open: the time is that of the reply alone.
            await there.post()
            error = await there.fails(seconds=0.1)
            assert type(error) is OutcomeUnknownError
            assert "gave no whole reply within 0.1 s" in str(error)
            await at_rest(server, 0)

    asyncio.run(main())


@pytest.mark.parametrize("fault", [None, faults.Stall(), faults.Stall(within=True)])
def test_a_cancelled_exchange_closes_its_connection(fault: Fault | None) -> None:
    async def main() -> None:
        async with served(plans.Sequence([fault])) as (server, there):
            server.latency = 0 if fault else 30
            sending = asyncio.ensure_future(there.post())
            await server.until(1)
            await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await at_rest(server, 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    "fault",
    [
        faults.Oversized(1 << 30),
        faults.Oversized(1 << 30, chunked=True),
        faults.Bomb(1 << 28),
        faults.Bomb(1 << 28, chunked=True),
    ],
    ids=repr,
)
def test_a_body_is_capped_while_it_is_read(fault: Fault) -> None:
    async def main() -> int:
        async with served(plans.Sequence([fault])) as (server, there):
            tracemalloc.start()
            error = await there.fails()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert isinstance(error, ReplyError)
            assert "larger than 32 MiB" in str(error)
            await at_rest(server, 0)
            return peak

    assert asyncio.run(main()) < 4 * MAX_BODY


def test_a_length_above_the_cap_is_not_read_at_all() -> None:
    class Boasting(faults.Fault):
        async def play(self, turn: Turn) -> None:
            turn.start(turn.answer, (("content-length", str(MAX_BODY + 1)),))
            await asyncio.Event().wait()

    error, _ = meet(Boasting(), seconds=5)
    assert isinstance(error, ReplyError)
