"""The way to the HTTP door: TLS is verified, proxies are used when named, no password is told."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import orjson
import pytest
import trustme

from headrace.adapters.http import Transport
from headrace.adapters.proxy import Proxy
from headrace.core.errors import GoneError, NotSentError, ProviderError
from headrace.core.model import Endpoint, Model, Route
from headrace.testing import FakeServer
from headrace.testing.server.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headrace.core.reply import Reply

CLOSED: Final = "http://127.0.0.1:1/v1"
FAR: Final = "http://nowhere.invalid/v1"
PATH: Final = "/chat/completions"


class Way:
    """A transport and a route to one server."""

    def __init__(self, transport: Transport, base_url: str) -> None:
        self.transport = transport
        endpoint = Endpoint(name="e", wire="openai_chat", auth="none", base_url=base_url)
        self.route = Route(Model(id="e/m"), endpoint, base_url)

    async def post(self, prompt: str = "hi", *, seconds: float = 20.0) -> Reply:
        body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]})
        return await self.transport.send(
            self.route, "POST", PATH, body, (), timeout=seconds, gate=None
        )

    async def fails(self, *, seconds: float = 20.0) -> ProviderError:
        with pytest.raises(ProviderError) as failed:
            await self.post(seconds=seconds)
        return failed.value


@asynccontextmanager
async def way(
    base_url: str,
    *,
    ca_file: Path | None = None,
    proxy: str | None = None,
    trust_env: bool = False,
) -> AsyncIterator[Way]:
    transport = Transport(ca_file=ca_file, proxy=Proxy.of(proxy), trust_env=trust_env)
    try:
        yield Way(transport, base_url)
    finally:
        await transport.aclose()


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
                assert (await friend.post("x" * 99_000)).status == 200
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
    assert "perhaps the server speaks http" in str(waiting)


def test_a_server_that_is_not_there() -> None:
    async def main() -> tuple[ProviderError, ProviderError]:
        async with way(CLOSED) as closed, way("https://nowhere.invalid/v1") as nowhere:
            return await closed.fails(), await nowhere.fails()

    closed, nowhere = asyncio.run(main())
    assert isinstance(closed, NotSentError)
    assert "cannot be connected to" in str(closed)
    assert isinstance(nowhere, NotSentError)
    assert "the host of https://nowhere.invalid/v1 (e/m) cannot be found" in str(nowhere)


def test_a_url_that_is_none() -> None:
    async def main() -> ProviderError:
        async with way("http:///v1") as nowhere:
            return await nowhere.fails()

    error = asyncio.run(main())
    assert isinstance(error, NotSentError)
    assert "is no URL that can be asked; check base_url" in str(error)


@pytest.mark.parametrize("header", [("x-a", "b\r\nc: d"), ("x-a\n", "b"), ("x-a", "\0")])
def test_a_header_that_is_none_is_not_sent(header: tuple[str, str]) -> None:
    async def main() -> None:
        async with FakeServer() as server, way(server.base_url) as there:
            with pytest.raises(NotSentError, match=r"cannot be written: .*; check its headers"):
                await there.transport.send(
                    there.route, "POST", PATH, b"{}", (header,), timeout=20, gate=None
                )
            assert server.received == []

    asyncio.run(main())


def test_a_proxy_is_used() -> None:
    async def main() -> None:
        async with FakeServer() as proxy, way(CLOSED, proxy=proxy.anthropic_url) as there:
            assert (await there.post()).status == 200
            assert proxy.received[0].path == f"{CLOSED}{PATH}"

    asyncio.run(main())


def test_a_proxy_elsewhere_does_not_stand_before_this_machine() -> None:
    """It would get the key unencrypted, and look for the server on its own machine."""

    async def main() -> None:
        async with FakeServer() as server:
            async with way(server.base_url, proxy="http://nowhere.invalid:3128") as there:
                assert (await there.post()).status == 200
            assert server.ledger.total == 1

    asyncio.run(main())


def test_a_proxy_of_the_environment_is_used_only_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with FakeServer() as proxy:
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.setenv("http_proxy", proxy.anthropic_url)
            async with way(FAR) as there:
                assert isinstance(await there.fails(), NotSentError)
            assert proxy.ledger.connections_total == 0
            async with way(FAR, trust_env=True) as there:
                assert (await there.post()).status == 200

    asyncio.run(main())


def test_the_environment_is_asked_for_a_proxy_and_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A password that ~/.netrc has for the host is for others, and no key of an API."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password CANARY")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # never on the way to this machine

    async def main() -> None:
        async with FakeServer() as server, way(server.base_url, trust_env=True) as there:
            assert (await there.post()).status == 200
            assert "authorization" not in server.received[0].headers

    asyncio.run(main())


@pytest.mark.parametrize("written", ["{}", "http://{}", "http://me:CANARY@{}/"])
def test_a_proxy_of_the_environment_may_lack_its_scheme(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    async def main() -> None:
        async with FakeServer() as proxy:
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.setenv("http_proxy", written.format(f"127.0.0.1:{proxy.port}"))
            async with way(FAR, trust_env=True) as there:
                assert (await there.post()).status == 200
            sent = proxy.received[0].headers
            assert ("proxy-authorization" in sent) == ("CANARY" in written)

    asyncio.run(main())


def test_a_proxy_of_the_environment_that_is_no_url_closes_the_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> ProviderError:
        async with way(FAR, trust_env=True) as there:
            return await there.fails()

    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "socks5://me:CANARY@127.0.0.1:1")
    error = asyncio.run(main())
    assert isinstance(error, GoneError)
    assert "e/m: the environment's proxy must look like http://host:3128" in str(error)
    assert "CANARY" not in f"{error!r}"


def test_a_proxy_that_is_not_there_is_not_taken_for_the_host() -> None:
    async def main(base_url: str) -> ProviderError:
        async with way(base_url, proxy="http://user:CANARY@nowhere.invalid:3128") as there:
            return await there.fails()

    for scheme in ("http", "https"):
        error = asyncio.run(main(f"{scheme}://far.test/v1"))
        assert isinstance(error, NotSentError)
        assert "the proxy on the way to" in str(error)
        assert "cannot be found; check proxy=" in str(error)
        assert "CANARY" not in f"{error!r}"


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
