"""What arrives at the server is what was signed, and it can be checked there."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

import orjson
import pytest

from headrace import LLMClient
from headrace.adapters.http import opener
from headrace.core.errors import GoneError, HeldBackError, NotSentError
from headrace.core.model import AwsKeys, Endpoint, KeySource, Model, Route
from headrace.core.secret import Secret
from headrace.providers.catalog import Catalog
from headrace.testing import VirtualClock
from headrace.wire.segment import segment
from tests.adapters.aws.reference import signature
from tests.adapters.aws.test_signing import AWKWARD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from headrace.adapters.http import Transport
    from headrace.core.context import RequestContext
    from headrace.core.reply import Reply
    from headrace.providers.base import Exchange, Headers, ProviderRequest

PLAIN: Final = AwsKeys("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
TOKEN: Final = "IQoJb3JpZ2luX2VjE-CANARY//+=="
SESSION: Final = AwsKeys("ASIAEXAMPLE", Secret("a+b/c=="), Secret(TOKEN))
BODY: Final = '{"messages":[{"content":"é"}]}'.encode()
VARIABLE: Final = "AWS_BEARER_TOKEN_BEDROCK"


ANSWER: Final = orjson.dumps(
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
)


class Server:
    """Keeps the requests as their bytes came, and gives each the next of its replies."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.replies: list[tuple[int, bytes]] = []
        self.on_request: Callable[[], object] = lambda: None
        self.date = ""
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.seen.append((first, headers, body))
            self.on_request()
            status, said = self.replies.pop(0) if self.replies else (200, b"{}")
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n" % (status, len(said)))
            date = f"Date: {self.date}\r\n" if self.date else ""
            writer.write(f"{date}Connection: close\r\n\r\n".encode() + said)
            await writer.drain()
            writer.close()
            return


class Way:
    """A transport, a server, and a route between them."""

    def __init__(self, server: Server, transport: Transport, clock: VirtualClock) -> None:
        self.server, self.transport, self.clock = server, transport, clock
        row = Endpoint(name="bedrock", wire="anthropic", auth="aws", base_url="https://x.test")
        self.route = Route(
            Model(id="bedrock/m"),
            row,
            server.address,
            KeySource(env=(VARIABLE,), aws=PLAIN),
            region="eu-west-3",
        )

    async def post(
        self, path: str = "/model/m/converse", body: bytes = BODY, headers: Headers = ()
    ) -> Reply:
        return await self.transport.send(
            self.route, "POST", path, body, headers, timeout=20, gate=None
        )

    def checked(self, keys: AwsKeys, service: str = "bedrock") -> str:
        """The path of the last request, once its signature has been found right."""
        first, headers, body = self.server.seen[-1]
        method, path, _ = first.split(" ")
        url = f"http://{headers['host']}{path}"
        now = self.clock.wall()
        place = {"region": "eu-west-3", "service": service}
        right = signature(method, url, headers, body, keys=keys, now=now, **place)
        assert headers["authorization"] == right
        assert self.server.address.endswith(headers["host"])
        return path


class Here(Catalog):
    """Sends whatever a client asks along one way; its exchange is the way itself."""

    def __init__(self, there: Way) -> None:
        super().__init__()
        self.there = there

    def bind(self, context: RequestContext, route: Route, exchange: Exchange) -> ProviderRequest:
        del exchange
        return super().bind(context, route, cast("Exchange", self.there))


@asynccontextmanager
async def way() -> AsyncIterator[Way]:
    server, clock = Server(), VirtualClock()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    transport = opener(ca_file=None, proxy=None, trust_env=False, clock=clock)()
    try:
        yield Way(server, transport, clock)
    finally:
        await transport.aclose()
        listening.close()
        await listening.wait_closed()


@pytest.mark.parametrize("keys", [PLAIN, SESSION], ids=["keys", "session"])
def test_the_path_and_headers_that_arrive_are_those_that_were_signed(keys: AwsKeys) -> None:
    async def main() -> None:
        async with way() as there:
            there.route = replace(there.route, key=KeySource(aws=keys))
            for name in AWKWARD:
                path = f"/model/{segment(name)}/converse"
                for body in (BODY, b"x" * 99_000):
                    assert (await there.post(path, body)).status == 200
                    assert there.checked(keys) == path
                    assert there.server.seen[-1][2] == body
            token = there.server.seen[-1][1].get("x-amz-security-token")
            assert token == (TOKEN if keys is SESSION else None)

    asyncio.run(main())


def test_what_follows_the_path_is_signed_too() -> None:
    async def main() -> None:
        async with way() as there:
            there.route = replace(there.route, query="?api-version=2026-01-01")
            assert (await there.post()).status == 200
            assert there.checked(PLAIN) == "/model/m/converse?api-version=2026-01-01"

    asyncio.run(main())


def test_each_request_has_its_own_time_body_and_service() -> None:
    async def main() -> None:
        async with way() as there:
            for seconds, service in ((0, "bedrock"), (61, "bedrock-mantle"), (86_400, "bedrock")):
                there.clock.advance(seconds)
                row = there.route.endpoint.model_copy(update={"service": service})
                there.route = replace(there.route, endpoint=row)
                await there.post(body=b"%d" % seconds)
                there.checked(PLAIN, service)
            assert len({headers["authorization"] for _, headers, _ in there.server.seen}) == 3

    asyncio.run(main())


def test_a_bearer_key_goes_as_it_is_and_wins_over_keys_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with way() as there:
            path = "/model/a%3A0/converse"
            there.route = replace(there.route, key=KeySource(env=(VARIABLE,)))
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLAIN.secret_access_key.reveal())
            await there.post(path)
            assert there.checked(PLAIN) == path
            monkeypatch.setenv(VARIABLE, "bedrock-api-key-0123456789")
            await there.post(path)
            there.route = replace(there.route, key=KeySource(secret=Secret("given-in-code")))
            await there.post(path)
            sent = [headers for _, headers, _ in there.server.seen[1:]]
            assert [headers["authorization"] for headers in sent] == [
                "Bearer bedrock-api-key-0123456789",
                "Bearer given-in-code",
            ]
            assert all("x-amz-date" not in headers for headers in sent)
            assert there.server.seen[1][0] == f"POST {path} HTTP/1.1"

    asyncio.run(main())


@pytest.mark.parametrize("key", [KeySource(aws=SESSION), KeySource(secret=Secret(TOKEN))])
def test_what_a_server_quotes_of_it_is_hidden(key: KeySource) -> None:
    async def main() -> None:
        async with way() as there:
            there.route = replace(there.route, key=key)
            there.server.replies = [(400, f"you sent {TOKEN}!".encode())]
            assert (await there.post()).body == b"you sent ********!"

    asyncio.run(main())


def _write(home: Path, key_id: str, at: int) -> None:
    path = home / "credentials"
    path.write_text(f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = s3cr3t\n")
    os.utime(path, (at, at))


def test_rotated_credentials_are_picked_up(home: Path) -> None:
    async def main() -> None:
        async with way() as there:
            there.route = replace(there.route, key=KeySource(env=(VARIABLE,)))
            for n, key_id in enumerate(("AKIDFIRST", "AKIDOTHER")):
                _write(home, key_id, n)
                await there.post()
                there.checked(AwsKeys(key_id, Secret("s3cr3t")))
            (home / "credentials").unlink()
            with pytest.raises(GoneError, match="no AWS credentials are found"):
                await there.post()
            assert len(there.server.seen) == 2

    asyncio.run(main())


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_credentials_that_were_renewed_meanwhile_is_no_refusal(
    status: int, home: Path
) -> None:
    async def main() -> None:
        async with way() as there:
            there.route = replace(there.route, key=KeySource(env=(VARIABLE,)))
            _write(home, "AKIDFIRST", 5)
            refused = (status, b'{"message":"The security token included is expired"}')
            there.server.replies = [refused] * 3
            assert (await there.post()).status == status
            # Of the same length and time, so that only a refusal has the file read again.
            there.server.on_request = lambda: _write(home, "AKIDOTHER", 5)
            with pytest.raises(HeldBackError):
                await there.post()
            assert (await there.post()).status == status
            there.checked(AwsKeys("AKIDOTHER", Secret("s3cr3t")))

    asyncio.run(main())


def test_the_region_stands_in_the_host_and_in_what_is_said_of_it() -> None:
    async def main() -> None:
        async with way() as there:
            base_url = f"{there.server.address.replace('127.0.0.1', '{region}')}/"
            there.route = replace(there.route, base_url=base_url, region="localhost")
            assert (await there.post()).status == 200
            assert there.server.seen[0][1]["host"].startswith("localhost:")
            assert "/localhost/bedrock/aws4_request" in there.server.seen[0][1]["authorization"]
            there.route = replace(there.route, base_url="http://{region}:1", region="localhost")
            with pytest.raises(
                NotSentError, match=r"^http://localhost:1 \(bedrock/m@localhost\) cannot"
            ):
                await there.post()

    asyncio.run(main())


def test_the_requests_in_flight_while_keys_are_rotated_are_sent_again(home: Path) -> None:
    """Through the whole engine: nobody is told, and no route is closed."""

    async def main() -> None:
        async with way() as there:
            _write(home, "AKIDFIRST", 5)
            there.route = replace(there.route, key=KeySource(env=(VARIABLE,)))

            def rotate() -> None:
                if len(there.server.seen) == 1:
                    _write(home, "AKIDOTHER", 6)

            there.server.on_request = rotate
            there.server.replies = [(403, b'{"message":"expired"}'), (200, ANSWER)]
            async with LLMClient("anthropic/m", api_key="unused", catalog=Here(there)) as client:
                response = await client.ask("hello")
            assert response.completion == "yes"
            assert [response.attempts, len(there.server.seen)] == [1, 2]

    asyncio.run(main())
