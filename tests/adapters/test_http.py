"""The HTTP door: one exchange, once; what goes wrong has a name, and nothing is left open."""

from __future__ import annotations

import asyncio
import ssl
import tracemalloc
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson
import pytest
import trustme

from headrace.adapters.http import MAX_BODY, HttpExchange, Transport
from headrace.core.errors import (
    GoneError,
    HeldBackError,
    NotSentError,
    OutcomeUnknownError,
    ProviderError,
    ReplyError,
)
from headrace.core.model import Endpoint, KeySource, Model, Route
from headrace.core.secret import Secret
from headrace.testing import FakeServer, faults, plans
from headrace.testing.server.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from headrace.core.reply import Reply
    from headrace.testing.faults import Fault
    from headrace.testing.plans import Plan
    from headrace.testing.server import Turn

PATH: Final = "/chat/completions"
KEY: Final = "sk-CANARY-http-0123456789"
BODY: Final = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
LARGE: Final = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 99_000}]})
CLOSED: Final = "http://127.0.0.1:1/v1"


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
        return await self.transport.post(
            self.route, PATH, body, (), timeout=seconds, gate=self.gate
        )

    async def fails(self, body: bytes = BODY, *, seconds: float = 20.0) -> ProviderError:
        with pytest.raises(ProviderError) as failed:
            await self.post(body, seconds=seconds)
        return failed.value


@asynccontextmanager
async def way(
    base_url: str,
    *,
    ca_file: Path | None = None,
    proxy: str | None = None,
    trust_env: bool = False,
    auth: str = "bearer",
) -> AsyncIterator[Way]:
    transport = Transport(ca_file=ca_file, proxy=proxy, trust_env=trust_env)
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
            there.route = replace(there.route, key=KeySource(env="HEADRACE_TEST_KEY"))
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
                await asyncio.sleep(0.001)  # the end of the connection comes a turn after the body
            assert server.ledger.connections_total == 20

    asyncio.run(main())


def test_an_exchange_opens_its_transport_when_it_posts() -> None:
    async def main() -> None:
        async with served() as (server, there):

            async def opened() -> Transport:
                return there.transport

            exchange = HttpExchange(opened, there.route, 20.0, there.gate)
            assert server.ledger.connections_total == 0
            assert (await exchange.post(PATH, BODY)).status == 200
            assert (await exchange.post(PATH, BODY, (("x-more", "1"),))).status == 200
            assert server.received[1].headers["x-more"] == "1"

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
                assert (server.ledger.total, server.received[0].key is None) == (
                    1,
                    auth == "x-api-key",
                )
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
        (faults.Reset(within=True), "broke off or was garbled|closed the connection"),
        (faults.BadChunk(), "broke off or was garbled|sent something that is not HTTP"),
        (faults.Raw(b"SSH-2.0-server\r\n"), "sent something that is not HTTP: Bad status line"),
    ],
)
def test_a_reply_without_an_end(fault: Fault, sentence: str) -> None:
    error, server = meet(fault)
    assert type(error) is OutcomeUnknownError
    assert server.ledger.total == 1
    with pytest.raises(OutcomeUnknownError, match=sentence):
        raise error


@pytest.mark.parametrize(
    "fault",
    [faults.Stall(), faults.Stall(within=True), faults.Drip(0.05), faults.Drip(0.05, "header")],
)
def test_a_reply_that_takes_too_long(fault: Fault) -> None:
    async def main() -> None:
        async with served(plans.Sequence([fault])) as (server, there):
            error = await there.fails(seconds=0.2)
            assert type(error) is OutcomeUnknownError
            assert "gave no whole reply within 0.2 s" in str(error)
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
        faults.Bomb(1 << 30),
        faults.Bomb(1 << 30, chunked=True),
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


def test_a_server_that_is_not_there() -> None:
    async def main() -> tuple[ProviderError, ProviderError]:
        async with way(CLOSED) as closed, way("https://nowhere.invalid/v1") as nowhere:
            return await closed.fails(), await nowhere.fails()

    closed, nowhere = asyncio.run(main())
    assert isinstance(closed, NotSentError)
    assert "cannot be connected to" in str(closed)
    assert isinstance(nowhere, NotSentError)
    assert "the host of https://nowhere.invalid/v1 (e/m) cannot be found" in str(nowhere)


# TLS and proxies.


@asynccontextmanager
async def tls(server: FakeServer, folder: Path, name: str = "127.0.0.1") -> AsyncIterator[str]:
    """A second door to ``server``, over TLS; its authority is in ``folder/ca.pem``."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    loop = asyncio.get_running_loop()
    door = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{door.sockets[0].getsockname()[1]}/v1"
    finally:
        door.close()
        await door.wait_closed()


def test_a_certificate_must_be_trusted_and_may_be_by_ca_file(tmp_path: Path) -> None:
    async def main() -> ProviderError:
        async with FakeServer() as server, tls(server, tmp_path) as url:
            async with way(url) as stranger:
                refused = await stranger.fails()
            before = server.ledger.connections_total
            async with way(url, ca_file=tmp_path / "ca.pem") as friend:
                assert (await friend.post()).status == 200
                assert (await friend.post(LARGE)).status == 200
            assert (server.ledger.total, server.ledger.connections_total - before) == (2, 1)
        return refused

    refused = asyncio.run(main())
    assert isinstance(refused, NotSentError)
    assert "has no TLS certificate that is trusted here" in str(refused)
    assert "pass ca_file=" in str(refused)


def test_a_certificate_must_be_for_the_host(tmp_path: Path) -> None:
    async def main() -> ProviderError:
        async with (
            FakeServer() as server,
            tls(server, tmp_path, "other.example") as url,
            way(url, ca_file=tmp_path / "ca.pem") as there,
        ):
            error = await there.fails()
            assert server.ledger.total == 0
            return error

    error = asyncio.run(main())
    assert isinstance(error, NotSentError)
    assert "no TLS certificate that is trusted" in str(error)


class Plain(asyncio.Protocol):
    """Answers whatever comes in plain text, as HTTP servers answer a TLS greeting."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        del data
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.transport.close()


def test_a_server_without_tls_behind_https() -> None:
    async def main() -> tuple[ProviderError, ProviderError]:
        plain = await asyncio.get_running_loop().create_server(Plain, "127.0.0.1", 0)
        port = plain.sockets[0].getsockname()[1]
        async with (
            plain,
            FakeServer() as silent,
            way(f"https://127.0.0.1:{port}/v1") as speaking,
            way(f"https://127.0.0.1:{silent.port}/v1") as waiting,
        ):
            return await speaking.fails(), await waiting.fails(seconds=0.2)

    speaking, waiting = asyncio.run(main())
    assert isinstance(speaking, NotSentError)
    assert "cannot be spoken to over TLS" in str(speaking)
    assert "check the scheme and the port of base_url" in str(speaking)
    assert isinstance(waiting, NotSentError), "no time of the attempt was left for sending"
    assert "cannot be connected to" in str(waiting)


def test_a_proxy_is_used() -> None:
    async def main() -> None:
        async with FakeServer() as proxy, way(CLOSED, proxy=proxy.anthropic_url) as there:
            assert (await there.post()).status == 200
            assert proxy.received[0].path == f"{CLOSED}{PATH}"

    asyncio.run(main())


def test_a_proxy_of_the_environment_is_used_only_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with FakeServer() as proxy:
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.setenv("http_proxy", proxy.anthropic_url)
            async with way(CLOSED) as there:
                assert isinstance(await there.fails(), NotSentError)
            assert proxy.ledger.connections_total == 0
            async with way(CLOSED, trust_env=True) as there:
                assert (await there.post()).status == 200

    asyncio.run(main())


def test_a_proxy_that_fails_is_named_without_its_password() -> None:
    async def main() -> tuple[ProviderError, ProviderError]:
        dead = "http://user:CANARY@127.0.0.1:1"
        async with FakeServer() as refusing:
            alive = f"http://user:CANARY@127.0.0.1:{refusing.port}"
            async with (
                way("https://127.0.0.1:1/v1", proxy=dead) as nobody,
                way("https://127.0.0.1:1/v1", proxy=alive) as nothing,
            ):
                return await nobody.fails(), await nothing.fails()

    dead, refusing = asyncio.run(main())
    assert "the proxy on the way to https://127.0.0.1:1/v1 (e/m) cannot be connected" in str(dead)
    assert "refused with status 404; check proxy=" in str(refusing)
    for error in (dead, refusing):
        assert isinstance(error, NotSentError)
        assert "CANARY" not in f"{error!r} {error.__cause__!r} {error.__context__!r}"
