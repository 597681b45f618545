"""A token server and a Vertex on this machine, and the way from one to the other."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace import RequestContext
from headrace.adapters.http import HttpExchange, Transport
from headrace.core.model import KeySource, Model, Route
from headrace.providers.google import GeminiRequest
from headrace.registry import resolve
from headrace.testing import FakeServer, faults, plans

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from headrace.core.response import APIResponse

PRIVATE: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM: Final = PRIVATE.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
VARIABLE: Final = "GOOGLE_OAUTH_ACCESS_TOKEN"


class Gate:
    def is_shut(self) -> bool:
        return False

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        del status, headers


class TokenServer:
    """Gives ``ya29.token-N`` for a signed assertion, good for ``lasts`` seconds."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.lasts = 3600
        self.is_asked, self.opens = asyncio.Event(), asyncio.Event()
        self.opens.set()
        self.refusal: tuple[int, dict[str, object]] | None = None
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        form = parse_qs((await reader.readexactly(size)).decode())
        claims = form["assertion"][0].split(".")[1]
        self.asked.append(json.loads(base64.urlsafe_b64decode(claims + "==")))
        token: dict[str, object] = {
            "access_token": f"ya29.token-{len(self.asked):04d}",
            "expires_in": self.lasts,
        }
        self.is_asked.set()
        await self.opens.wait()
        status, said = self.refusal or (200, {**token, "token_type": "Bearer"})
        body = json.dumps(said).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n" % status)
        writer.write(b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


class Way:
    """A route to a server that speaks as Vertex does, and the tokens for it."""

    def __init__(self, tokens: TokenServer, server: FakeServer, transport: Transport) -> None:
        self.tokens, self.server, self.transport = tokens, server, transport
        row = resolve.route(resolve.model_row("vertex/m"), resolve.Place()).endpoint
        url = f"{server.base_url}/projects/{{project}}/locations/{{location}}/publishers/google"
        self.route = Route(Model(id="vertex/m"), row, url, KeySource(env=(VARIABLE,)))

    def request(self, context: RequestContext | None = None) -> GeminiRequest:
        exchange = HttpExchange(lambda: self.transport, self.route, 20.0, Gate())
        return GeminiRequest(context or RequestContext(prompt="hi"), self.route, exchange)

    async def ask(self) -> APIResponse[object]:
        return await self.request().execute_once()

    @property
    def sent(self) -> list[str | None]:
        return [seen.headers.get("authorization") for seen in self.server.received]


@asynccontextmanager
async def way(
    tmp_path: Path,
    *answers: faults.Fault | None,
    tls: ssl.SSLContext | None = None,
    **outward: Any,
) -> AsyncIterator[Way]:
    """``tls``: of the token server; ``outward``: by which way the client goes out."""
    tokens = TokenServer()
    listening = await asyncio.start_server(tokens.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    tokens.address = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/token"
    account = {
        "type": "service_account",
        "project_id": "of-the-file",
        "private_key_id": "k1",
        "private_key": PEM,
        "client_email": "me@example.iam.gserviceaccount.com",
        "token_uri": tokens.address,
    }
    (tmp_path / "account.json").write_text(json.dumps(account), encoding="utf-8")
    async with FakeServer(faults=plans.Sequence(list(answers))) as server:
        transport = Transport(**outward)
        try:
            yield Way(tokens, server, transport)
        finally:
            await transport.aclose()
            listening.close()
            await listening.wait_closed()
