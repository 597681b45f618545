"""Tokens for Vertex, from a token server on this machine through google-auth itself.

The server runs in the loop that waits for the tokens: were they asked for there, nothing would
ever come.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace import LLMClient, RequestContext
from headrace.adapters import google_auth, keys
from headrace.adapters.http import HttpExchange, Transport
from headrace.core.errors import ConfigError, GoneError, HeldBackError, NotSentError
from headrace.core.model import Endpoint, KeySource, Model, Route
from headrace.core.secret import Secret
from headrace.providers.catalog import Catalog
from headrace.providers.google import GeminiRequest
from headrace.registry import resolve
from headrace.testing import FakeServer, faults, plans

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from headrace.core.response import APIResponse
    from headrace.providers.base import Exchange, ProviderRequest

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
        self.route = Route(Model(id="vertex/m"), row, url, KeySource(env=VARIABLE))

    def request(self, context: RequestContext | None = None) -> GeminiRequest:
        async def opened() -> Transport:
            return self.transport

        exchange = HttpExchange(opened, self.route, 20.0, Gate())
        return GeminiRequest(context or RequestContext(prompt="hi"), self.route, exchange)

    async def ask(self) -> APIResponse[object]:
        return await self.request().execute_once()

    @property
    def sent(self) -> list[str | None]:
        return [seen.headers.get("authorization") for seen in self.server.received]


@asynccontextmanager
async def way(tmp_path: Path, *answers: faults.Fault | None) -> AsyncIterator[Way]:
    tokens = TokenServer()
    listening = await asyncio.start_server(tokens.serve, "127.0.0.1", 0)
    tokens.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/token"
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
        transport = Transport()
        try:
            yield Way(tokens, server, transport)
        finally:
            await transport.aclose()
            listening.close()
            await listening.wait_closed()


@pytest.fixture(autouse=True)
def _an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def test_a_service_account_gets_one_token_for_many_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "pays")

    async def main() -> None:
        async with way(tmp_path) as there:
            answers = await asyncio.gather(*(there.ask() for _ in range(20)))
            await there.ask()
            assert {answer.completion for answer in answers} == {"echo: hi"}
            assert set(there.sent) == {"Bearer ya29.token-0001"}
            [claims] = there.tokens.asked
            assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
            seen = there.server.received[0]
            where = "/v1/projects/of-the-file/locations/global/publishers/google"
            assert seen.path == f"{where}/models/m:generateContent"
            assert seen.headers["x-goog-user-project"] == "pays"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("lasts", "at", "asked"),
    [(3600, 3290, 1), (3600, 3310, 2), (600, 310, 2), (100, 40, 1), (100, 60, 2)],
)
def test_a_token_is_renewed_before_its_end(tmp_path: Path, lasts: int, at: int, asked: int) -> None:
    """Five minutes before it, and a short one at half its time."""

    async def main() -> None:
        async with way(tmp_path) as there:
            there.tokens.lasts = lasts
            now = [0.0]
            tokens = google_auth.Tokens(lambda: now[0])
            await tokens.token("vertex/m")
            now[0] = at
            several = await asyncio.gather(*(tokens.token("vertex/m") for _ in range(9)))
            assert {token.value for token in several} == {f"ya29.token-000{asked}"}
            assert len(there.tokens.asked) == asked

    asyncio.run(main())


def test_while_a_token_is_good_a_renewal_may_fail(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            now = [0.0]
            tokens = google_auth.Tokens(lambda: now[0])
            await tokens.token("vertex/m")
            there.tokens.refusal = (400, {"error": "invalid_grant"})
            for moment, asked in ((3400, 2), (3401, 2), (3431, 3)):
                now[0] = moment
                assert (await tokens.token("vertex/m")).value == "ya29.token-0001"
                assert len(there.tokens.asked) == asked
            now[0] = 3610
            with pytest.raises(GoneError, match="invalid_grant"):
                await tokens.token("vertex/m")

    asyncio.run(main())


def test_a_refused_token_is_renewed_once(tmp_path: Path) -> None:
    async def main() -> None:
        refusals = [faults.Status(401)] * 2
        async with way(tmp_path, *refusals) as there:
            with pytest.raises(HeldBackError):
                await there.ask()
            with pytest.raises(GoneError, match="401"):
                await there.ask()
            assert there.sent == ["Bearer ya29.token-0001", "Bearer ya29.token-0002"]
            await there.ask()
            assert len(there.tokens.asked) == 2

    asyncio.run(main())


def test_after_a_refusal_the_key_file_is_read_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path, faults.Status(401)) as there:
            with pytest.raises(HeldBackError):
                await there.ask()
            path = tmp_path / "account.json"
            account = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps({**account, "project_id": "new"}), encoding="utf-8")
            await there.ask()
            assert there.server.received[-1].path.startswith("/v1/projects/new/")

    asyncio.run(main())


class Here(Catalog):
    """Sends whatever a client asks along one way."""

    def __init__(self, there: Way) -> None:
        super().__init__()
        self.there = there

    def bind(self, context: RequestContext, route: Route, exchange: Exchange) -> ProviderRequest:
        del route, exchange
        return self.there.request(context)


def test_a_run_goes_on_over_a_token_that_was_withdrawn(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path, None, faults.Status(401)) as there:
            async with LLMClient("vertex/m", catalog=Here(there)) as client:
                for _ in range(2):
                    response = await client.ask("hi")
                    assert response.completion == "echo: hi"
            tokens = [f"Bearer ya29.token-000{n}" for n in (1, 1, 2)]
            assert there.sent == tokens

    asyncio.run(main())


def test_a_refusal_by_the_token_server_closes_the_route(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            said: dict[str, object] = {
                "error": "invalid_grant",
                "error_description": "Account has been deleted",
            }
            there.tokens.refusal = (400, said)
            with pytest.raises(GoneError, match="Account has been deleted") as caught:
                await there.ask()
            assert caught.value.message.startswith("vertex/m: Google gave no access token")
            assert "gcloud auth application-default login" in caught.value.message
            assert "PRIVATE" not in repr(caught.value.__dict__)
            assert not there.sent

    asyncio.run(main())


def test_a_token_server_out_of_reach_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            path = tmp_path / "account.json"
            account = json.loads(path.read_text(encoding="utf-8"))
            account["token_uri"] = "http://127.0.0.1:9/token"
            path.write_text(json.dumps(account), encoding="utf-8")
            with pytest.raises(NotSentError, match="token server gave no token"):
                await there.ask()

    asyncio.run(main())


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_without_credentials_a_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "nothing.json"
    if content is None:
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    else:
        path.write_text(content, encoding="utf-8")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    async def main() -> None:
        async with way(tmp_path) as there:
            with pytest.raises(GoneError, match="no credentials of Google Cloud") as caught:
                await there.ask()
            assert "run gcloud auth application-default login" in caught.value.message

    asyncio.run(main())


def test_who_is_cancelled_takes_no_token_from_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            first = asyncio.ensure_future(there.ask())
            second = asyncio.ensure_future(there.ask())
            for _ in range(3):
                await asyncio.sleep(0)
            first.cancel()
            assert (await second).completion == "echo: hi"
            assert len(there.tokens.asked) == 1
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(main())


def test_a_token_of_the_environment_is_used_as_it_is_and_may_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")

    async def main() -> None:
        async with way(tmp_path, None, None, faults.Status(401)) as there:
            for token in ("ya29.given-one-0000", "ya29.given-two-0000"):
                monkeypatch.setenv(VARIABLE, token)
                await there.ask()
                assert there.sent[-1] == f"Bearer {token}"
            with pytest.raises(GoneError, match="401"):
                await there.ask()
            assert there.server.received[0].path.startswith("/v1/projects/mine/")
            assert not there.tokens.asked

    asyncio.run(main())


def test_a_token_that_was_replaced_meanwhile_is_no_reason_to_close() -> None:
    row = Endpoint(name="vertex", wire="gemini", auth="google", base_url="https://h")
    given = KeySource(secret=Secret("ya29.old-token-0000"))
    sent = Route(Model(id="vertex/m"), row, "https://h", given)
    with pytest.raises(HeldBackError):
        google_auth.check_current(sent, 401, "ya29.new-token-0000")
    google_auth.check_current(sent, 401, "ya29.old-token-0000")
    google_auth.check_current(sent, 403, "ya29.new-token-0000")


LOCATED: Final = resolve.route(resolve.model_row("vertex/m"), resolve.Place())


def placed(route: Route = LOCATED) -> str:
    return asyncio.run(google_auth.admitted(route, "ya29.token-0000"))[0].base_url


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_host(
    monkeypatch: pytest.MonkeyPatch, location: str | None, host: str
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    if location is not None:
        monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", location)
    there = f"projects/mine/locations/{location or 'global'}/publishers/google"
    assert placed() == f"https://{host}/v1beta1/{there}"


def test_a_route_may_have_a_region_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "eu")
    route = Route(LOCATED.model, LOCATED.endpoint, LOCATED.base_url, region="us-east5")
    assert placed(route).startswith("https://us-east5-aiplatform.googleapis.com/")


@pytest.mark.parametrize("name", ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"])
@pytest.mark.parametrize("value", ["evil.example/x", "a b", "a@b", "{host}", "-a"])
def test_what_would_lead_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv(name, value)
    monkeypatch.setenv(VARIABLE, "ya29.token-0000")
    with pytest.raises(GoneError, match=f"{name} is .*; set it anew"):
        placed()
    with pytest.raises(ConfigError, match=name):
        keys.check(LOCATED)


def test_what_is_missing_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    keys.check(LOCATED)  # the credentials are asked for later
    monkeypatch.setenv(VARIABLE, "ya29.token-0000")
    with pytest.raises(ConfigError, match="needs the id of a Google Cloud project; set GOOGLE"):
        keys.check(LOCATED)
    monkeypatch.setenv(VARIABLE, " ya29 ")
    with pytest.raises(ConfigError):
        keys.check(LOCATED)


class Metadata(BaseHTTPRequestHandler):
    """Answers as the metadata server of Google's machines does."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/computeMetadata/v1")
        told: dict[str, object] = {
            "/project/project-id": "of-the-machine",
            "/universe/universe-domain": "googleapis.com",
            "/instance/service-accounts/default/": {"email": "m@example.com", "scopes": []},
            "/instance/service-accounts/default/token": {
                "access_token": "ya29.of-the-machine",
                "expires_in": 3600,
                "token_type": "Bearer",
            },
        }
        said = told.get(path, "")
        body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        kind = "text/plain" if isinstance(said, str) else "application/json"
        self.send_response(200 if path in told or path in {"", "/"} else 404)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        del format, args


ON_A_MACHINE: Final = """
import asyncio
from headrace.adapters import google_auth
from headrace.registry import resolve

route = resolve.route(resolve.model_row("vertex/m"), resolve.Place())
ready, _ = asyncio.run(google_auth.admitted(route, None))
print(ready.base_url, ready.key.secret.reveal())
"""


def test_a_machine_of_google_has_a_token_of_its_own(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        # Read by google-auth when it is imported, and so a program of its own.
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("GOOGLE_", "NO_GCE"))},
            "GCE_METADATA_HOST": address,
            "GCE_METADATA_IP": address,
            "CLOUDSDK_CONFIG": str(tmp_path),
        }
        try:
            done = subprocess.run(
                [sys.executable, "-c", ON_A_MACHINE],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=50,
            )
        finally:
            server.shutdown()
    assert done.returncode == 0, done.stderr
    url, token = done.stdout.split()
    assert url.endswith("/projects/of-the-machine/locations/global/publishers/google")
    assert token == "ya29.of-the-machine"


def test_without_the_extra_a_sentence_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "google").mkdir()
    (tmp_path / "google" / "__init__.py").touch()  # hides what is installed
    script = f"""{ON_A_MACHINE.partition("ready")[0]}
from headrace.adapters import keys
from headrace.core.errors import HeadraceError
for ask in (keys.check, lambda route: asyncio.run(google_auth.admitted(route, None))):
    try:
        ask(route)
    except HeadraceError as error:
        print(error.code, error.message)
"""
    places = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    before, after = done.stdout.splitlines()
    assert before.startswith("config vertex/m needs google-auth to get a token; install headrace[v")
    assert after.startswith("gone vertex/m: Vertex needs google-auth to get a token; install head")
