"""Tokens are asked for on the client's own way out: by its proxy, and trusting its ``ca_file``."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme
from google.auth.transport.requests import Request

from headrace.adapters.google_auth import Door, _Through
from headrace.adapters.proxy import Proxy
from headrace.core.errors import GoneError, NotSentError, OverloadedError
from tests.adapters.google.server import way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.once


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of 127.0.0.1, by an authority that nobody trusts but who is given ``ca.pem``."""
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "https_proxy", "no_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


class Tunnel:
    """A proxy that connects to whatever it is asked for, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ends: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        verb, _, where = head.partition(" ")
        if verb != "CONNECT":
            writer.write(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        host, _, port = where.split(" ")[0].rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        self.ends += [writer, back]
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def tunnel() -> AsyncIterator[tuple[Tunnel, str]]:
    """A proxy on this machine, and its address with a password."""
    made = Tunnel()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    try:
        yield made, f"http://me:CANARY@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for end in made.ends:
            end.close()
        await asyncio.sleep(0)
        server.close()
        await server.wait_closed()


def test_a_token_server_is_trusted_by_ca_file(tmp_path: Path, tls: ssl.SSLContext) -> None:
    async def main() -> None:
        async with way(tmp_path, tls=tls) as stranger:
            with pytest.raises(NotSentError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.ask()
        async with way(tmp_path, tls=tls, ca_file=tmp_path / "ca.pem") as friend:
            await friend.ask()
            assert len(friend.tokens.asked) == 1

    asyncio.run(main())


def test_a_token_is_asked_for_through_the_proxy(tmp_path: Path, tls: ssl.SSLContext) -> None:
    async def main() -> None:
        async with tunnel() as (proxy, url):
            outward = {"proxy": Proxy.of(url), "ca_file": tmp_path / "ca.pem"}
            async with way(tmp_path, tls=tls, **outward) as there:
                with pytest.raises(OverloadedError):  # what it is for is no tunnel's
                    await there.ask()
                host = there.tokens.address.removeprefix("https://").removesuffix("/token")
                assert len(there.tokens.asked) == 1
            assert proxy.asked[0].startswith(f"CONNECT {host} HTTP/1.")
            assert "Proxy-Authorization: Basic" in proxy.asked[0]

    asyncio.run(main())


def test_a_proxy_that_is_not_there_is_told_without_its_password(
    tmp_path: Path, tls: ssl.SSLContext
) -> None:
    async def main() -> None:
        dead = Proxy.of("http://me:CANARY@127.0.0.1:1")
        async with way(tmp_path, tls=tls, proxy=dead) as there:
            with pytest.raises(NotSentError, match="Google's token server gave no token") as told:
                await there.ask()
            assert there.tokens.asked == []
        assert "CANARY" not in str(told.value)

    asyncio.run(main())


FAR, NEAR = "http://nowhere.invalid:3128", "http://127.0.0.1:3128"
GOOGLE, METADATA = "https://oauth2.googleapis.com/token", "http://metadata.google.internal/x"


@pytest.mark.parametrize(
    ("door", "url", "proxy"),
    [
        (Door(), GOOGLE, None),
        (Door(Proxy(FAR)), GOOGLE, FAR),
        (Door(trust_env=True), GOOGLE, NEAR),
        (Door(Proxy(FAR), trust_env=True), GOOGLE, FAR),
        (Door(Proxy(FAR)), METADATA, None),
        (Door(trust_env=True), METADATA, None),
        (Door(Proxy(FAR)), METADATA.replace("http:", "https:"), None),
        (Door(trust_env=True), "https://169.254.169.254/", None),
        (Door(Proxy(FAR)), "https://127.0.0.1/token", None),
        (Door(Proxy(NEAR)), "https://127.0.0.1/token", NEAR),
    ],
)
def test_which_proxy_is_on_the_way(
    door: Door, url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", NEAR)
    assert door.proxies(url) == ({} if proxy is None else {"https": proxy})


def test_google_auth_finds_where_to_mount_the_certificates_of_its_metadata_server() -> None:
    request = Request()
    asking = _Through(Door(), request)
    assert asking.session is request.session


def test_an_environment_whose_proxy_is_no_url_closes_the_route(
    tmp_path: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    del tls
    monkeypatch.setenv("https_proxy", "socks5://me:CANARY@127.0.0.1:1")

    async def main() -> None:
        async with way(tmp_path, trust_env=True) as there:
            account = tmp_path / "account.json"
            account.write_text(
                account.read_text().replace(there.tokens.address, "https://nowhere.invalid/token")
            )
            with pytest.raises(GoneError, match="the environment's proxy must look like") as told:
                await there.ask()
        assert "CANARY" not in str(told.value)

    asyncio.run(main())
